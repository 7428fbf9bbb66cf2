/* Attributes by path: of the family's draft under its public name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "begin.h"
#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "view.h"
#include "where.h"
#include "core/compat.h"
#include "core/util.h"

static int mode_at(int dirfd, const char *path, mode_t mode, int flags)
{
    SS_AUTO_VIEW_FD int fd = ss_view_open(dirfd, path, O_PATH);

    if (fd == SS_VIEW_PLAIN)
        return ss_real()->fchmodat(dirfd, path, mode, flags);
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return fd == SS_VIEW_FAILED ? -1 : ss_real()->fchmodat(AT_FDCWD, link, mode, 0);
}

SS_EXPORT int chmod(const char *path, mode_t mode)
{
    return mode_at(AT_FDCWD, path, mode, 0);
}

SS_EXPORT int lchmod(const char *path, mode_t mode)
{
    return mode_at(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
}

SS_EXPORT int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    return mode_at(dirfd, path, mode, flags);
}

static int owner_at(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    SS_AUTO_VIEW_FD int fd = ss_view_open(dirfd, path, O_PATH);

    if (fd == SS_VIEW_PLAIN)
        return ss_real()->fchownat(dirfd, path, uid, gid, flags);
    return fd == SS_VIEW_FAILED ? -1 : ss_real()->fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

SS_EXPORT int chown(const char *path, uid_t uid, gid_t gid)
{
    return owner_at(AT_FDCWD, path, uid, gid, 0);
}

SS_EXPORT int lchown(const char *path, uid_t uid, gid_t gid)
{
    return owner_at(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

SS_EXPORT int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    return owner_at(dirfd, path, uid, gid, flags);
}

typedef int set_times(int dirfd, const char *path, const struct timespec *times, int flags);

/* The C library's utimensat minds a path that is NULL, its older functions do not. */
static int times_by_number(int dirfd, const char *path, const struct timespec *times, int flags)
{
    return (int)ss_real()->syscall(SYS_utimensat, dirfd, path, times, flags);
}

static int times_at(int dirfd, const char *path, const struct timespec *times, int flags, set_times *real)
{
    SS_AUTO_VIEW_FD int fd = ss_view_open(dirfd, path, O_PATH);

    if (fd == SS_VIEW_PLAIN)
        return real(dirfd, path, times, flags);
    return fd == SS_VIEW_FAILED ? -1 : ss_real()->utimensat(fd, "", times, AT_EMPTY_PATH);
}

SS_EXPORT int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    return times_at(dirfd, path, times, flags, ss_real()->utimensat);
}

static int times_in_us(int dirfd, const char *path, const struct timeval *times, int flags)
{
    struct timespec in_ns[2];

    for (int i = 0; times && i < 2; i++) {
        if (times[i].tv_usec < 0 || times[i].tv_usec >= 1000000) {
            errno = EINVAL;
            return -1;
        }
        in_ns[i] = (struct timespec){.tv_sec = times[i].tv_sec, .tv_nsec = times[i].tv_usec * 1000};
    }
    return times_at(dirfd, path, times ? in_ns : NULL, flags, times_by_number);
}

SS_EXPORT int utimes(const char *path, const struct timeval times[2])
{
    return times_in_us(AT_FDCWD, path, times, 0);
}

SS_EXPORT int lutimes(const char *path, const struct timeval times[2])
{
    return times_in_us(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

SS_EXPORT int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    return times_in_us(dirfd, path, times, 0);
}

SS_EXPORT int utime(const char *path, const struct utimbuf *times)
{
    struct timespec in_ns[2];

    if (times) {
        in_ns[0] = (struct timespec){.tv_sec = times->actime};
        in_ns[1] = (struct timespec){.tv_sec = times->modtime};
    }
    return times_at(AT_FDCWD, path, times ? in_ns : NULL, 0, times_by_number);
}

/* As the program sees it: of its draft, if it has one. */
static int status_of(const char *path, struct stat *st)
{
    int saved = errno;
    int r = SS_HOOK(stat(path, st));

    errno = saved;
    return r;
}

/* truncate changes an image: it is a save like any other, opened and closed. */
static int cut(const char *path, off_t length)
{
    struct stat st;

    if (!ss_active || ss_inside() || length < 0 || !ss_readable_path(path) || !ss_begin_concerns(path) ||
        status_of(path, &st) < 0 || !S_ISREG(st.st_mode))
        return ss_real()->truncate(path, length);
    int fd = ss_begin_open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int r = ftruncate(fd, length) < 0 ? -errno : 0;
    int closed = SS_HOOK(close(fd)) < 0 ? -errno : 0;
    if (r == 0)
        r = closed;
    if (r < 0)
        errno = -r;
    return r < 0 ? -1 : 0;
}

SS_EXPORT int truncate(const char *path, off_t length)
{
    return cut(path, length);
}

SS_EXPORT int truncate64(const char *path, off64_t length)
{
    return cut(path, length);
}
