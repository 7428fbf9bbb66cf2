/* open and its names. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

#include "begin.h"
#include "inside.h"
#include "real.h"

static bool takes_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    if (ss_begin_is_plain(path, flags))
        return ss_real_or_early()->openat(dirfd, path, flags, mode);
    return ss_begin_open(dirfd, path, flags, mode);
}

/* The mode is there only with the flags that need it. */
static mode_t mode_of(int flags, va_list arguments)
{
    return takes_mode(flags) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(hook, parameters, dirfd)                                                                                  \
    SS_EXPORT int hook parameters;                                                                                     \
    SS_EXPORT int hook parameters                                                                                      \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return open_at(dirfd, path, flags, mode);                                                                      \
    }

/* What fortified programs call where there is no mode: with one that is needed it would be a mistake. */
#define CHECKED(hook, parameters, dirfd)                                                                               \
    SS_EXPORT int hook parameters;                                                                                     \
    SS_EXPORT int hook parameters                                                                                      \
    {                                                                                                                  \
        if (takes_mode(flags))                                                                                         \
            abort();                                                                                                   \
        return open_at(dirfd, path, flags, 0);                                                                         \
    }

#define CREAT(hook)                                                                                                    \
    SS_EXPORT int hook(const char *path, mode_t mode);                                                                 \
    SS_EXPORT int hook(const char *path, mode_t mode)                                                                  \
    {                                                                                                                  \
        return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);                                            \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(__open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(__open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int dirfd, const char *path, int flags, ...), dirfd)
OPEN(openat64, (int dirfd, const char *path, int flags, ...), dirfd)
CHECKED(__open_2, (const char *path, int flags), AT_FDCWD)
CHECKED(__open64_2, (const char *path, int flags), AT_FDCWD)
CHECKED(__openat_2, (int dirfd, const char *path, int flags), dirfd)
CHECKED(__openat64_2, (int dirfd, const char *path, int flags), dirfd)
CREAT(creat)
CREAT(creat64)
