#include "zip_content.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define BUFFER ((size_t)256 << 10)
#define STEP_BYTES (UINT64_C(4) << 20)

struct ss_zip_content {
    const struct ss_job *job;
    uint64_t read, step; /* bytes: of the file so far, with those that were unpacked; when the job is asked next */
    z_stream inflate;
    unsigned char in[BUFFER], out[BUFFER];
};

struct ss_zip_content *ss_zip_content_open(const struct ss_job *job)
{
    struct ss_zip_content *content = calloc(1, sizeof *content);

    if (!content)
        return NULL;
    content->job = job;
    if (inflateInit2(&content->inflate, -MAX_WBITS) == Z_OK)
        return content;
    free(content);
    return NULL;
}

void ss_zip_content_close(struct ss_zip_content *content)
{
    inflateEnd(&content->inflate);
    free(content);
}

/* read: of the file, for which progress is told; a bomb has much more than that to be gone through. */
static int step(struct ss_zip_content *content, uint64_t read, uint64_t worked)
{
    content->read += read;
    content->step += worked;
    if (content->step < STEP_BYTES)
        return 0;
    content->step = 0;
    return ss_job_step(content->job, content->read);
}

/* The next bytes of the entry into in. Returns how many, or -errno. */
static ssize_t next_bytes(struct ss_zip_content *content, const struct ss_zip_entry *entry, uint64_t done)
{
    size_t len = entry->packed - done < BUFFER ? (size_t)(entry->packed - done) : BUFFER;

    int r = ss_job_read(content->job, entry->at + done, content->in, len);
    if (r == 0)
        r = step(content, len, len);
    return r < 0 ? r : (ssize_t)len;
}

static int check_stored(struct ss_zip_content *content, const struct ss_zip_entry *entry, uLong *sum)
{
    for (uint64_t done = 0; done < entry->packed;) {
        ssize_t n = next_bytes(content, entry, done);
        if (n < 0)
            return (int)n;
        *sum = crc32(*sum, content->in, (uInt)n);
        done += (uint64_t)n;
    }
    return 0;
}

/* Unpacks what is in the input. size: bytes that came out so far, to which is added. Returns Z_OK, Z_STREAM_END, or
 * what the check ends with. */
static int inflate_input(struct ss_zip_content *content, const struct ss_zip_entry *entry, uint64_t *size, uLong *sum,
                         const char **why)
{
    z_stream *inflater = &content->inflate;
    int r;

    do {
        inflater->next_out = content->out;
        inflater->avail_out = BUFFER;
        int status = inflate(inflater, Z_NO_FLUSH);
        if (status == Z_MEM_ERROR)
            return -ENOMEM;
        size_t n = BUFFER - inflater->avail_out;
        *sum = crc32(*sum, content->out, (uInt)n);
        *size += n;
        *why = *size > entry->size ? "it is longer than it says" : inflater->msg ? inflater->msg : "it is no such data";
        if (*size > entry->size || (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR))
            return -EBADMSG;
        if (status == Z_STREAM_END)
            return Z_STREAM_END;
        if ((r = step(content, 0, n)) < 0)
            return r;
    } while (inflater->avail_out == 0);
    return Z_OK;
}

static int check_deflated(struct ss_zip_content *content, const struct ss_zip_entry *entry, uLong *sum,
                          const char **why)
{
    uint64_t done = 0, size = 0;
    int r = Z_OK;

    if (inflateReset(&content->inflate) != Z_OK)
        return -ENOMEM;
    while (r == Z_OK && done < entry->packed) {
        ssize_t n = next_bytes(content, entry, done);
        if (n < 0)
            return (int)n;
        done += (uint64_t)n;
        content->inflate.next_in = content->in;
        content->inflate.avail_in = (uInt)n;
        r = inflate_input(content, entry, &size, sum, why);
    }
    if (r < 0)
        return r;
    *why = "it ends early, or too late";
    return r == Z_STREAM_END && size == entry->size && done == entry->packed && content->inflate.avail_in == 0
               ? 0
               : -EBADMSG;
}

int ss_zip_content_check(struct ss_zip_content *content, const struct ss_zip_entry *entry, const char **why)
{
    uLong sum = crc32(0, NULL, 0);

    int r = entry->deflated ? check_deflated(content, entry, &sum, why) : check_stored(content, entry, &sum);
    if (r < 0)
        return r;
    *why = "its checksum is wrong";
    return sum == entry->checksum ? 0 : -EBADMSG;
}
