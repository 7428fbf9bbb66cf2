#include "qemu_stream.h"

#include <errno.h>

#include "bytes.h"
#include "formats.h"

#define QEMU_MAGIC 0x5145564dU /* "QEVM" */
#define QEMU_VERSION 3

int ss_qemu_stream_check(const struct ss_job *job, uint64_t start)
{
    unsigned char head[8];

    int r = ss_job_read(job, start, head, sizeof head);
    if (r == -ENODATA)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory is missing");
    if (r < 0)
        return r;
    if (ss_be32(head) != QEMU_MAGIC)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory is no stream of QEMU");
    if (ss_be32(head + 4) != QEMU_VERSION)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "version %u of QEMU's stream", ss_be32(head + 4));
    return ss_job_say(job, SS_END_UNPROVEN, "%s", "");
}

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= 8 && ss_be32(head) == QEMU_MAGIC;
}

static int check(const struct ss_job *job)
{
    return ss_qemu_stream_check(job, 0);
}

const struct ss_inside_format ss_inside_qemu = {"qemu", "QEMU migration stream", matches, check};
