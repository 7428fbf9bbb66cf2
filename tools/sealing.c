#include "sealing.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"

/* Why an attribute could not be set. */
static void judge_attribute(int error, struct ss_judgement *why)
{
    switch (error) {
    case -ENOTSUP:
        ss_judge(why, SS_REQUEST_REFUSED, "its file system has no extended attributes of users, where a seal is kept");
        break;
    case -EROFS:
        ss_judge(why, SS_REQUEST_REFUSED, "its file system is mounted read-only");
        break;
    case -EPERM:
        ss_judge(why, SS_NO_PERMISSION, "its attributes can not be changed: it may be immutable, see lsattr");
        break;
    case -ENOSPC:
    case -EDQUOT:
    case -E2BIG:
    case -ERANGE:
        ss_judge(why, SS_NO_SPACE, "the seal has no room among its attributes: %s", strerror(-error));
        break;
    default:
        ss_judge_errno(why, error);
    }
}

static int make(int fd, const char *path, const char *writer, struct ss_seal *seal)
{
    struct progress progress;
    const struct ss_digest_run run = {.stop = watch_stop(), .progress = progress_step, .context = &progress};
    struct stat st;

    if (fsync(fd) < 0 || fstat(fd, &st) < 0)
        return -errno;
    progress_start(&progress, path);
    int r = ss_seal_make(fd, (uint64_t)st.st_size, true, writer, &run, seal);
    progress_end(&progress);
    return r;
}

bool sealing_make(int fd, const char *path, const char *writer, const struct watch *watch, struct ss_judgement *why)
{
    struct ss_seal seal;

    int r = make(fd, path, writer, &seal);
    if (!watch_is_quiet(watch, why)) /* which may be why it failed */
        return false;
    if (r < 0) {
        ss_judge_errno(why, r);
        return false;
    }
    r = ss_seal_write(fd, &seal);
    if (r < 0) {
        judge_attribute(r, why);
        return false;
    }
    r = fsync(fd) < 0 ? -errno : 0;
    if (r == 0 && watch_has_same_content(watch, fd, why))
        return true;
    /* Where there is no lease somebody may have written between the last look and the seal. */
    ss_seal_remove(fd);
    if (r < 0)
        ss_judge_errno(why, r);
    return false;
}
