#include "finish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/format.h"
#include "core/util.h"
#include "progress.h"
#include "text.h"
#include "watch.h"

#define MARK_LEN 16 /* without a NUL */

static const char done_mark[] = "LibvirtQemudSave";
static const char part_mark[] = "LibvirtQemudPart";

static const char *domain_of(const struct ss_inside *inside)
{
    for (size_t i = 0; i < inside->fact_count; i++)
        if (strcmp(inside->facts[i].key, "domain") == 0)
            return inside->facts[i].text;
    return "";
}

static void describe(uint64_t bytes, struct finish_proof *proof)
{
    const char *domain = domain_of(&proof->inside);
    char size[TEXT_SIZE_MAX];

    text_size(bytes, size);
    snprintf(proof->what, sizeof proof->what, "libvirt save image%s%s, %s", *domain ? " of " : "", domain, size);
}

static int look(const char *path, int fd, uint64_t size, struct ss_inside *inside)
{
    struct progress progress;
    const struct ss_inside_options options = {
        .deep = true, .assume_done = true, .stop = watch_stop(), .progress = progress_step, .context = &progress};

    progress_start(&progress, path);
    int r = ss_inside_check(fd, size, &options, inside);
    progress_end(&progress);
    return r;
}

bool finish_prove(const char *path, int fd, struct finish_proof *proof, struct ss_judgement *why)
{
    struct ss_format_probe probe;
    struct stat st;

    *proof = (struct finish_proof){0};
    if (fstat(fd, &st) < 0) {
        ss_judge_errno(why, -errno);
        return false;
    }
    int r = ss_format_probe_fd(fd, (uint64_t)st.st_size, &probe);
    if (r == 0 && probe.format != SS_FORMAT_LIBVIRT) {
        ss_judge(why, SS_REQUEST_REFUSED, "it is no save image of libvirt: nothing else can be finished");
        return false;
    }
    if (r == 0)
        r = look(path, fd, (uint64_t)st.st_size, &proof->inside);
    if (r < 0) {
        ss_judge_errno(why, r);
        return false;
    }
    proof->marked = !probe.marked_partial;
    describe((uint64_t)st.st_size, proof);
    if (proof->inside.finding == SS_COMPLETE)
        return true;
    ss_judge(why, proof->inside.finding, "%s", proof->inside.detail);
    return false;
}

static int sync_file(int fd)
{
    return fsync(fd) < 0 ? -errno : 0;
}

/* What it says must not be on the disk before that what it says it of is. */
static int write_mark(int fd)
{
    size_t done;

    return ss_pwrite_full(fd, done_mark, MARK_LEN, 0, &done);
}

static void take_mark_back(int fd)
{
    size_t done;

    if (ss_pwrite_full(fd, part_mark, MARK_LEN, 0, &done) == 0)
        sync_file(fd); /* a disk that fails: nothing more can be done */
}

bool finish_mark(int fd, const struct finish_proof *proof, struct watch *marked, struct ss_judgement *why)
{
    int r = sync_file(fd);

    if (r == 0 && !proof->marked)
        r = write_mark(fd);
    if (r < 0) {
        ss_judge_errno(why, r);
        return false;
    }
    bool noted = watch_begin_unleased(marked, fd, why); /* before the sync, which may take its time */
    r = noted && !proof->marked ? sync_file(fd) : 0;
    if (r < 0)
        ss_judge_errno(why, r);
    if ((r < 0 || !noted) && !proof->marked)
        take_mark_back(fd);
    return r == 0 && noted;
}
