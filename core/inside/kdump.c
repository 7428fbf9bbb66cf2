/* What makedumpfile and QEMU's dump-guest-memory write for the crash tool: the kdump-compressed format, bare, or
 * flattened into a stream of records. Source: IMPLEMENTATION in makedumpfile, include/sysemu/dump.h in QEMU. */
#include "kdump.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "window.h"

#define FLAT_SIGNATURE "makedumpfile\0\0\0" /* and the literal's NUL: 16 bytes */
#define FLAT_HEADER_LEN 4096
#define FLAT_TYPE 1
#define FLAT_VERSION 1
#define RECORD_LEN 16
#define STEP_BYTES (UINT64_C(16) << 20)

/* A record of the flattened format: where its data belongs, and its length. */
struct record {
    int64_t off, len;
};

static void read_record(const unsigned char *bytes, struct record *record)
{
    record->off = (int64_t)ss_be64(bytes);
    record->len = (int64_t)ss_be64(bytes + 8);
}

static bool is_end(const struct record *record)
{
    return record->off == -1 && record->len == -1;
}

/* What the first record holds, if it is the header that kdump.h knows. */
static int tell_inner_header(const struct ss_job *job)
{
    unsigned char bytes[RECORD_LEN + SS_KDUMP_HEADER_MAX];
    struct ss_kdump_header header;
    struct record record;

    if (!ss_job_holds(job, FLAT_HEADER_LEN, sizeof bytes))
        return 0;
    int r = ss_job_read(job, FLAT_HEADER_LEN, bytes, sizeof bytes);
    if (r < 0)
        return r;
    read_record(bytes, &record);
    if (record.off == 0 && record.len > 0 &&
        ss_kdump_header(bytes + RECORD_LEN, record.len < SS_KDUMP_HEADER_MAX ? (size_t)record.len : SS_KDUMP_HEADER_MAX,
                        &header)) {
        ss_kdump_tell(job, &header);
        if (header.status & SS_KDUMP_INCOMPLETE)
            return ss_job_say(job, SS_FORMAT_INCOMPLETE, "its header says that pages are missing");
    }
    return 0;
}

static int say_no_end(const struct ss_job *job)
{
    return ss_job_say(job, SS_STREAM_DAMAGED, "its end mark is missing: it was cut after %" PRIu64 " bytes", job->size);
}

/* Is the last thing in the file the end mark? */
static int check_end(const struct ss_job *job)
{
    unsigned char bytes[RECORD_LEN];
    struct record record;

    if (job->size < FLAT_HEADER_LEN + RECORD_LEN)
        return say_no_end(job);
    int r = ss_job_read(job, job->size - RECORD_LEN, bytes, RECORD_LEN);
    if (r < 0)
        return r == -ENODATA ? say_no_end(job) : r;
    read_record(bytes, &record);
    return is_end(&record) ? ss_job_say(job, SS_COMPLETE, "%s", "") : say_no_end(job);
}

/* Says a finding on one record. *next: where the next one is; 0 when this is the last. */
static int check_record(const struct ss_job *job, uint64_t at, const struct record *record, uint64_t *next)
{
    *next = 0;
    if (is_end(record)) {
        if (at + RECORD_LEN == job->size)
            return ss_job_say(job, SS_COMPLETE, "%s", "");
        return ss_job_say(job, SS_STREAM_DAMAGED, "there are %" PRIu64 " bytes after its end mark",
                          job->size - at - RECORD_LEN);
    }
    if (record->off < 0 || record->len < 0 || record->off > INT64_MAX - record->len)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the record at byte %" PRIu64 " makes no sense", at);
    if (!ss_job_holds(job, at + RECORD_LEN, (uint64_t)record->len))
        return ss_job_say(job, SS_STREAM_DAMAGED,
                          "the record at byte %" PRIu64 " has %" PRIu64 " of its %" PRId64 " bytes", at,
                          job->size - at - RECORD_LEN, record->len);
    *next = at + RECORD_LEN + (uint64_t)record->len;
    return 0;
}

static int walk(const struct ss_job *job, struct ss_window *window)
{
    uint64_t at = FLAT_HEADER_LEN, next, step = at, records = 0;
    const unsigned char *bytes;

    for (;; at = next, records++) {
        struct record record;
        int r = ss_window_at(job, window, at, RECORD_LEN, &bytes);
        if (r < 0)
            return r == -ENODATA ? say_no_end(job) : r;
        read_record(bytes, &record);
        r = check_record(job, at, &record, &next);
        if (r < 0 || next == 0) {
            ss_job_fact(job, "records", "%" PRIu64, records);
            return r;
        }
        if (next - step >= STEP_BYTES) {
            step = next;
            if ((r = ss_job_step(job, next)) < 0)
                return r;
        }
    }
}

static bool matches_flat(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= 16 && memcmp(head, FLAT_SIGNATURE, 16) == 0;
}

static int check_flat(const struct ss_job *job)
{
    unsigned char head[32];

    int r = ss_job_read(job, 0, head, sizeof head);
    if (r < 0)
        return r == -ENODATA ? say_no_end(job) : r;
    if (ss_be64(head + 16) != FLAT_TYPE || ss_be64(head + 24) != FLAT_VERSION)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "type %" PRIu64 ", version %" PRIu64 " of a flattened dump",
                          ss_be64(head + 16), ss_be64(head + 24));
    r = tell_inner_header(job);
    if (r < 0 || job->inside->finding == SS_FORMAT_INCOMPLETE)
        return r;
    if (!job->options->deep)
        return check_end(job);
    SS_AUTO_FREE struct ss_window *window = calloc(1, sizeof *window);
    return window ? walk(job, window) : -ENOMEM;
}

const struct ss_inside_format ss_inside_kdump_flat = {"kdump", "flattened kdump", matches_flat, check_flat};
