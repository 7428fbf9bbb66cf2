#include "seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "thread.h"
#include "util.h"
#include "xattr.h"

#define KEY_FORMAT "format"
#define KEY_HEADER_LEN "header"
#define KEY_HEADER "header-sha256"
#define KEY_SIZE "size"
#define KEY_VERITY "verity-sha256"
#define KEY_SEALED "sealed"
#define KEY_WRITER "writer"

/* ---- text codec ---- */

static bool lengths_valid(const struct ss_seal *seal)
{
    return seal->size <= INT64_MAX && seal->header_len <= seal->size && seal->header_len <= SS_FORMAT_HEADER_MAX;
}

static int get_digest(const struct ss_record *record, const char *key, struct ss_sha256 *digest)
{
    const char *hex = ss_record_get(record, key);

    return hex ? ss_sha256_parse(hex, digest) : -ENODATA;
}

static int get_format(const struct ss_record *record, enum ss_format *format)
{
    const char *name = ss_record_get(record, KEY_FORMAT);

    if (!name)
        return -ENODATA;
    /* A format that a newer version knows: the seal's lengths and digests still hold. */
    if (ss_format_parse(name, format) < 0)
        *format = SS_FORMAT_UNKNOWN;
    return 0;
}

static int get_writer(const struct ss_record *record, char writer[SS_SEAL_WRITER_MAX])
{
    const char *name = ss_record_get(record, KEY_WRITER);

    if (!name)
        return -ENODATA;
    size_t len = strlen(name);
    if (len >= SS_SEAL_WRITER_MAX)
        return -EBADMSG;
    memcpy(writer, name, len + 1);
    return 0;
}

int ss_seal_decode(const void *bytes, size_t len, struct ss_seal *seal)
{
    struct ss_record record;
    struct ss_seal decoded = {0};

    int err = ss_record_decode(bytes, len, &record);
    if (err < 0)
        return err;
    decoded.has_verity = ss_record_get(&record, KEY_VERITY) != NULL;
    if (get_format(&record, &decoded.format) < 0 || get_writer(&record, decoded.writer) < 0 ||
        get_digest(&record, KEY_HEADER, &decoded.header) < 0 ||
        (decoded.has_verity && get_digest(&record, KEY_VERITY, &decoded.verity) < 0) ||
        ss_record_get_u64(&record, KEY_HEADER_LEN, &decoded.header_len) < 0 ||
        ss_record_get_u64(&record, KEY_SIZE, &decoded.size) < 0 ||
        ss_record_get_time(&record, KEY_SEALED, &decoded.sealed) < 0)
        return -EBADMSG;
    if (!lengths_valid(&decoded))
        return -EBADMSG;
    *seal = decoded;
    return 0;
}

static int set_digest(struct ss_record *record, const char *key, const struct ss_sha256 *digest)
{
    char hex[SS_SHA256_HEX_SIZE];

    ss_sha256_format(digest, hex);
    return ss_record_set(record, key, hex);
}

ssize_t ss_seal_encode(const struct ss_seal *seal, char *buf, size_t size)
{
    struct ss_record record;

    if (!lengths_valid(seal))
        return -EINVAL;
    ss_record_init(&record);
    int err = ss_record_set(&record, KEY_FORMAT, ss_format_name(seal->format));
    if (err == 0)
        err = ss_record_set_u64(&record, KEY_HEADER_LEN, seal->header_len);
    if (err == 0)
        err = set_digest(&record, KEY_HEADER, &seal->header);
    if (err == 0)
        err = ss_record_set_u64(&record, KEY_SIZE, seal->size);
    if (err == 0 && seal->has_verity)
        err = set_digest(&record, KEY_VERITY, &seal->verity);
    if (err == 0)
        err = ss_record_set_time(&record, KEY_SEALED, seal->sealed);
    if (err == 0)
        err = ss_record_set(&record, KEY_WRITER, seal->writer);
    return err < 0 ? err : ss_record_encode(&record, buf, size);
}

/* ---- on a file ---- */

int ss_seal_read(int fd, struct ss_seal *seal)
{
    char line[SS_RECORD_MAX];

    ssize_t len = fgetxattr(fd, SS_SEAL_XATTR, line, sizeof line);
    if (len < 0)
        return errno == ERANGE ? -E2BIG : -errno;
    return ss_seal_decode(line, (size_t)len, seal);
}

int ss_seal_write(int fd, const struct ss_seal *seal)
{
    char line[SS_RECORD_MAX];

    ssize_t len = ss_seal_encode(seal, line, sizeof line);
    if (len < 0)
        return (int)len;
    return ss_xattr_set(fd, SS_SEAL_XATTR, line, (size_t)len);
}

int ss_seal_remove(int fd)
{
    return ss_xattr_remove(fd, SS_SEAL_XATTR);
}

/* A small file of which all is digested is read once, for the probe and for both digests. */
static bool is_read_once(uint64_t size, bool full, const struct ss_digest_run *run)
{
    return full && size < SS_DIGEST_UNIT && (!run || (!run->stop && !run->admit && !run->drops));
}

static int digest_once(int fd, struct ss_seal *made)
{
    struct ss_format_probe probe;
    SS_AUTO_FREE unsigned char *bytes = malloc((size_t)made->size + SS_DIGEST_PADDING);

    if (!bytes)
        return -ENOMEM;
    ssize_t n = ss_pread_full(fd, bytes, (size_t)made->size, 0);
    if (n < 0 || (uint64_t)n < made->size)
        return n < 0 ? (int)n : -ENODATA;
    ss_format_probe(bytes, n < SS_FORMAT_HEAD ? (size_t)n : SS_FORMAT_HEAD, made->size, &probe);
    made->format = probe.format;
    made->header_len = probe.header_len;
    int err = ss_digest_of(bytes, (size_t)made->header_len, &made->header);
    return err < 0 ? err : ss_digest_verity_of(bytes, (size_t)n, &made->verity);
}

static int digest_parts(int fd, bool full, const struct ss_digest_run *run, struct ss_seal *made)
{
    struct ss_format_probe probe;

    int err = ss_format_probe_fd(fd, made->size, &probe);
    if (err < 0)
        return err;
    made->format = probe.format;
    made->header_len = probe.header_len;
    err = ss_digest_head(fd, made->header_len, &made->header);
    return err < 0 || !full ? err : ss_digest_verity(fd, made->size, run, &made->verity);
}

int ss_seal_make(int fd, uint64_t size, bool full, const char *writer, const struct ss_digest_run *run,
                 struct ss_seal *seal)
{
    struct ss_seal made = {.size = size, .has_verity = full, .sealed = time(NULL)};

    int err = is_read_once(size, full, run) ? digest_once(fd, &made) : digest_parts(fd, full, run, &made);
    if (err != 0)
        return err;
    if (writer)
        memcpy(made.writer, writer, strnlen(writer, sizeof made.writer - 1));
    *seal = made;
    return 0;
}

#define SHORT ((uint64_t)256 << 10) /* digested faster than a thread is started */

struct sync_job {
    int (*sync)(void *context);
    void *context;
    int result; /* 0 or -errno */
};

static void *run_sync(void *argument)
{
    struct sync_job *job = argument;

    job->result = job->sync(job->context);
    return NULL;
}

int ss_seal_make_synced(int fd, uint64_t size, bool full, const char *writer, const struct ss_digest_run *run,
                        int (*sync)(void *context), void *context, int *synced, struct ss_seal *seal)
{
    struct sync_job job = {.sync = sync, .context = context};
    pthread_t thread;

    bool threaded = size > SHORT && ss_thread_start(&thread, run_sync, &job) == 0;
    int r = ss_seal_make(fd, size, full, writer, run, seal);
    if (threaded)
        pthread_join(thread, NULL);
    *synced = threaded ? job.result : SS_NOT_SYNCED;
    return r;
}

int ss_seal_check_header(int fd, const struct ss_seal *seal, enum ss_finding *finding)
{
    struct ss_sha256 header;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size != seal->size) {
        *finding = (uint64_t)st.st_size < seal->size ? SS_TRUNCATED : SS_GROWN;
        return 0;
    }
    int err = ss_digest_head(fd, seal->header_len, &header);
    if (err == -ENODATA) {
        *finding = SS_TRUNCATED; /* since fstat */
        return 0;
    }
    if (err < 0)
        return err;
    *finding = ss_sha256_equal(&header, &seal->header) ? SS_INTACT : SS_HEADER_MISMATCH;
    return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_version(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

int ss_seal_check_content(int fd, const struct ss_seal *seal, const struct ss_digest_run *run, enum ss_finding *finding)
{
    enum ss_finding found = SS_IO_ERROR;
    struct ss_sha256 verity;
    struct stat before, after;

    if (fstat(fd, &before) < 0)
        return -errno;
    int err = ss_seal_check_header(fd, seal, &found);
    if (err == 0 && found == SS_INTACT && seal->has_verity) {
        err = ss_digest_verity(fd, seal->size, run, &verity);
        if (err == -ENODATA) { /* it became shorter under our eyes */
            *finding = SS_CHANGED_WHILE_READING;
            return 0;
        }
        if (err == 0 && !ss_sha256_equal(&verity, &seal->verity))
            found = SS_CONTENT_MISMATCH;
    }
    if (err == 0 && fstat(fd, &after) < 0)
        err = -errno;
    if (err != 0)
        return err;
    *finding = same_version(&before, &after) ? found : SS_CHANGED_WHILE_READING;
    return 0;
}
