/* stat, access and their kind: the family sees its draft under its public name, nobody sees a hidden name. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "real.h"
#include "view.h"

/* Calls what follows for the file that the path shows; dir and name stand for it. */
#define FOR_VIEW(dirfd, path, failed, call)                                                                            \
    if (ss_view_is_plain(path)) {                                                                                      \
        const int dir = dirfd;                                                                                         \
        const char *const name = path;                                                                                 \
        return call;                                                                                                   \
    }                                                                                                                  \
    SS_INSIDE;                                                                                                         \
    SS_AUTO_VIEW struct ss_view view;                                                                                  \
    int seen = ss_view_begin(dirfd, path, &view);                                                                      \
    if (seen < 0) {                                                                                                    \
        errno = -seen;                                                                                                 \
        return failed;                                                                                                 \
    }                                                                                                                  \
    const int dir = view.dir;                                                                                          \
    const char *const name = view.path;                                                                                \
    return call;

static int status_at(int dirfd, const char *path, struct stat *st, int flags)
{
    FOR_VIEW(dirfd, path, -1, ss_real()->fstatat(dir, name, st, flags))
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64) && sizeof(off_t) == sizeof(off64_t), "a 64-bit machine");

#define STAT(hook, parameters, dirfd, flags)                                                                           \
    SS_EXPORT int hook parameters;                                                                                     \
    SS_EXPORT int hook parameters                                                                                      \
    {                                                                                                                  \
        return status_at(dirfd, path, (struct stat *)(void *)st, flags);                                               \
    }

STAT(stat, (const char *restrict path, struct stat *restrict st), AT_FDCWD, 0)
STAT(stat64, (const char *restrict path, struct stat64 *restrict st), AT_FDCWD, 0)
STAT(lstat, (const char *restrict path, struct stat *restrict st), AT_FDCWD, AT_SYMLINK_NOFOLLOW)
STAT(lstat64, (const char *restrict path, struct stat64 *restrict st), AT_FDCWD, AT_SYMLINK_NOFOLLOW)
STAT(fstatat, (int dirfd, const char *restrict path, struct stat *restrict st, int flags), dirfd, flags)
STAT(fstatat64, (int dirfd, const char *restrict path, struct stat64 *restrict st, int flags), dirfd, flags)

/* What programs call that were built before glibc 2.33. The first argument is a version of struct stat; on 64-bit
 * machines there is but one. */
#define UNUSED __attribute__((unused))
STAT(__xstat, (int version UNUSED, const char *path, struct stat *st), AT_FDCWD, 0)
STAT(__xstat64, (int version UNUSED, const char *path, struct stat64 *st), AT_FDCWD, 0)
STAT(__lxstat, (int version UNUSED, const char *path, struct stat *st), AT_FDCWD, AT_SYMLINK_NOFOLLOW)
STAT(__lxstat64, (int version UNUSED, const char *path, struct stat64 *st), AT_FDCWD, AT_SYMLINK_NOFOLLOW)
STAT(__fxstatat, (int version UNUSED, int dirfd, const char *path, struct stat *st, int flags), dirfd, flags)
STAT(__fxstatat64, (int version UNUSED, int dirfd, const char *path, struct stat64 *st, int flags), dirfd, flags)

SS_EXPORT int statx(int dirfd, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
    FOR_VIEW(dirfd, path, -1, ss_real()->statx(dir, name, flags, mask, st))
}

static int access_at(int dirfd, const char *path, int wanted,
                     int flags){FOR_VIEW(dirfd, path, -1, ss_real()->faccessat(dir, name, wanted, flags))}

SS_EXPORT int access(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, 0);
}

SS_EXPORT int faccessat(int dirfd, const char *path, int wanted, int flags)
{
    return access_at(dirfd, path, wanted, flags);
}

SS_EXPORT int euidaccess(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, AT_EACCESS);
}

SS_EXPORT int eaccess(const char *path, int wanted)
{
    return access_at(AT_FDCWD, path, wanted, AT_EACCESS);
}
