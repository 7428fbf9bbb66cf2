#include "decompress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "decompress_part.h"
#include "memory.h"

#define INPUT SS_DECOMPRESS_INPUT
#define GZIP_ONLY (MAX_WBITS + 16)      /* zlib's word for it */
#define BZIP2_MEMORY ((size_t)5 << 20)  /* bytes: for its largest blocks, and libarchive's buffers */
#define ZSTD_MEMORY ((uint64_t)1 << 20) /* besides its window */

ssize_t ss_decompress_input(struct ss_decompress *d, size_t have)
{
    size_t room = INPUT - have;
    uint64_t left = d->at < d->job->size ? d->job->size - d->at : 0;

    int r = ss_job_step(d->job, d->at);
    ssize_t n = r < 0 ? r : ss_pread_full(d->job->fd, d->input + have, left < room ? (size_t)left : room, (off_t)d->at);
    if (n < 0)
        d->error = (int)n;
    d->at += n > 0 ? (uint64_t)n : 0;
    return n;
}

int ss_decompress_damaged(struct ss_decompress *d, const char *why)
{
    if (d->error)
        return d->error;
    if (d->archive && archive_errno(d->archive) == ENOMEM)
        return -ENOMEM;
    snprintf(d->why, sizeof d->why, "%s", why ? why : "nobody knows why");
    return -EBADMSG;
}

int ss_decompress_want(struct ss_decompress *d, uint64_t bytes)
{
    d->needs = bytes;
    if (bytes > SS_DECOMPRESS_MEMORY_MAX)
        return -E2BIG;
    if (bytes <= d->memory.source)
        return 0;
    d->memory.source = (size_t)bytes;
    size_t reader = d->memory.reader > SS_STREAM_MEMORY ? d->memory.reader : SS_STREAM_MEMORY;
    int r = ss_job_reserve(d->job, d->memory.source + reader);
    return r == 0 && !ss_memory_is_there(d->memory.source) ? -ENOMEM : r;
}

/* ---- libarchive ---- */

static la_ssize_t feed(struct archive *archive, void *context, const void **bytes)
{
    struct ss_decompress *d = context;
    ssize_t n = ss_decompress_input(d, 0);

    *bytes = d->input;
    if (n > 0 && d->packed == SS_LIBVIRT_ZSTD) {
        ss_zstd_frames_feed(&d->frames, d->input, (size_t)n);
        d->error = ss_decompress_want(d, d->frames.window + ZSTD_MEMORY);
        n = d->error < 0 ? d->error : n;
    }
    if (n < 0) {
        archive_set_error(archive, (int)-n, "read error");
        return -1;
    }
    return n;
}

/* False when the library would need a program for it. */
static bool choose_filter(struct ss_decompress *d, enum ss_libvirt_stream packed)
{
    switch (packed) {
    case SS_LIBVIRT_BZIP2:
        d->filter = ARCHIVE_FILTER_BZIP2;
        return archive_read_support_filter_bzip2(d->archive) == ARCHIVE_OK;
    default:
        d->filter = ARCHIVE_FILTER_ZSTD;
        return archive_read_support_filter_zstd(d->archive) == ARCHIVE_OK;
    }
}

/* The first read, which makes libarchive look at the data. Returns 1, 0 when there is nothing in it, or -errno. */
static int open_archive(struct ss_decompress *d)
{
    struct archive_entry *entry;

    d->opened = true;
    if (archive_read_open(d->archive, d, NULL, feed, NULL) != ARCHIVE_OK)
        return ss_decompress_damaged(d, archive_error_string(d->archive));
    int r = archive_read_next_header(d->archive, &entry);
    if (r == ARCHIVE_EOF)
        return 0;
    if (r != ARCHIVE_OK)
        return ss_decompress_damaged(d, archive_error_string(d->archive));
    /* One layer, and the client's own. libarchive would take off as many as there are. */
    if (archive_filter_count(d->archive) != 2 || archive_filter_code(d->archive, 0) != d->filter)
        return ss_decompress_damaged(d, "it was compressed more than once");
    return 1;
}

/* Behind the end its memory is needed elsewhere. */
static void end_archive(struct ss_decompress *d)
{
    uint64_t used = (uint64_t)archive_filter_bytes(d->archive, -1), all = d->job->size - d->start;

    d->trailing = used < all ? all - used : 0;
    archive_read_free(d->archive);
    d->archive = NULL;
    d->ended = true;
}

static ssize_t read_archive(struct ss_decompress *d, void *buf, size_t len)
{
    int r = d->ended ? 0 : d->opened ? 1 : open_archive(d);

    la_ssize_t n = r <= 0 ? r : archive_read_data(d->archive, buf, len);
    if (r > 0 && n < 0)
        return ss_decompress_damaged(d, archive_error_string(d->archive));
    if (n == 0 && !d->ended)
        end_archive(d);
    return n;
}

/* ---- zlib ---- */

/* The next bytes of the file behind those of input that are not used yet. Returns 0 or -errno. */
static int add_input(struct ss_decompress *d)
{
    unsigned have = d->gzip.avail_in;

    memmove(d->input, d->gzip.next_in, have);
    ssize_t n = ss_decompress_input(d, have);
    if (n < 0)
        return (int)n;
    d->gzip.next_in = d->input;
    d->gzip.avail_in = have + (unsigned)n;
    return 0;
}

/* Behind a member there may be another one. Returns 1, 0 or -errno. */
static int begins_member(struct ss_decompress *d)
{
    static const unsigned char magic[] = {0x1f, 0x8b};

    if (d->gzip.avail_in < sizeof magic) {
        int r = add_input(d);
        if (r < 0)
            return r;
    }
    return d->gzip.avail_in >= sizeof magic && memcmp(d->gzip.next_in, magic, sizeof magic) == 0;
}

/* One step. Returns Z_OK, Z_STREAM_END behind the last member, or -errno. */
static int inflate_some(struct ss_decompress *d)
{
    if (d->gzip.avail_in == 0) {
        int r = add_input(d);
        if (r < 0 || d->gzip.avail_in == 0)
            return r < 0 ? r : ss_decompress_damaged(d, "it ends early");
    }
    int r = inflate(&d->gzip, Z_NO_FLUSH);
    if (r == Z_MEM_ERROR)
        return -ENOMEM;
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return ss_decompress_damaged(d, d->gzip.msg ? d->gzip.msg : "it needs a dictionary");
    if (r != Z_STREAM_END)
        return Z_OK;
    r = begins_member(d);
    if (r <= 0)
        return r < 0 ? r : Z_STREAM_END;
    return inflateReset(&d->gzip) == Z_OK ? Z_OK : -ENOMEM;
}

static ssize_t read_gzip(struct ss_decompress *d, void *buf, size_t len)
{
    if (len > INPUT)
        len = INPUT;
    d->gzip.next_out = buf;
    d->gzip.avail_out = (unsigned)len;
    while (d->gzip.avail_out == len && !d->ended) {
        int r = inflate_some(d);
        if (r < 0)
            return r;
        d->ended = r == Z_STREAM_END;
    }
    d->trailing = d->job->size > d->at ? d->job->size - d->at + d->gzip.avail_in : d->gzip.avail_in;
    return (ssize_t)(len - d->gzip.avail_out);
}

/* ---- all ---- */

static int prepare(struct ss_decompress *d)
{
    if (d->packed == SS_LIBVIRT_GZIP)
        return inflateInit2(&d->gzip, GZIP_ONLY) == Z_OK ? 0 : -ENOMEM;
    if (d->packed == SS_LIBVIRT_XZ)
        return ss_decompress_xz_open(d);
    if (d->packed == SS_LIBVIRT_LZOP)
        return ss_decompress_lzop_open(d);
    int r = d->packed == SS_LIBVIRT_BZIP2 ? ss_decompress_want(d, BZIP2_MEMORY) : 0;
    if (r < 0)
        return r;
    d->archive = ss_memory_is_there(BZIP2_MEMORY) ? archive_read_new() : NULL;
    if (!d->archive)
        return -ENOMEM;
    if (!choose_filter(d, d->packed))
        return -EOPNOTSUPP;
    return archive_read_support_format_raw(d->archive) == ARCHIVE_OK ? 0 : -ENOMEM;
}

int ss_decompress_open(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed,
                       struct ss_decompress **decompress)
{
    struct ss_decompress *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->job = job;
    d->start = d->at = start;
    d->gzip.next_in = d->input;
    d->packed = packed;
    int r = prepare(d);
    if (r < 0) {
        ss_decompress_close(d);
        return r;
    }
    *decompress = d;
    return 0;
}

void ss_decompress_close(struct ss_decompress *d)
{
    if (d->archive)
        archive_read_free(d->archive);
    if (d->packed == SS_LIBVIRT_GZIP)
        inflateEnd(&d->gzip);
    lzma_end(&d->xz);
    free(d->lzop.buf);
    free(d);
}

ssize_t ss_decompress_read(void *decompress, void *buf, size_t len)
{
    struct ss_decompress *d = decompress;

    /* One piece of input may be the work of minutes for whoever reads what it unpacks to. */
    int r = ss_job_step(d->job, d->at);
    if (r < 0)
        return r;
    switch (d->packed) {
    case SS_LIBVIRT_GZIP:
        return read_gzip(d, buf, len);
    case SS_LIBVIRT_XZ:
        return ss_decompress_xz_read(d, buf, len);
    case SS_LIBVIRT_LZOP:
        return ss_decompress_lzop_read(d, buf, len);
    default:
        return read_archive(d, buf, len);
    }
}

const char *ss_decompress_why(const struct ss_decompress *d)
{
    return d->why;
}

uint64_t ss_decompress_trailing(const struct ss_decompress *d)
{
    return d->trailing;
}

struct ss_stream_memory *ss_decompress_memory(struct ss_decompress *d)
{
    return &d->memory;
}

uint64_t ss_decompress_needs(const struct ss_decompress *d)
{
    return d->needs;
}
