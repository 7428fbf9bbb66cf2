/* libvirt's save image: src/qemu/qemu_saveimage.h in libvirt. */
#include <string.h>

#include "core/format.h"
#include "formats.h"
#include "qemu_stream.h"

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    struct ss_format_probe probe;

    ss_format_probe(head, len, size, &probe);
    return probe.format == SS_FORMAT_LIBVIRT;
}

static int check(const struct ss_job *job)
{
    struct ss_format_probe probe;

    int r = ss_format_probe_fd(job->fd, job->size, &probe);
    if (r < 0)
        return r;
    if (probe.completion == SS_COMPLETION_PARTIAL)
        return ss_job_say(job, SS_FORMAT_INCOMPLETE, "%s", probe.why);
    return ss_job_say(job, SS_END_UNPROVEN, "%s", "");
}

const struct ss_inside_format ss_inside_libvirt = {"libvirt", "libvirt save image", matches, check};
