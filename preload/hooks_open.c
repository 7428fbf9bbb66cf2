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
        return ss_real()->openat(dirfd, path, flags, mode);
    return ss_begin_open(dirfd, path, flags, mode);
}

/* The mode is there only with the flags that need it. */
static mode_t mode_of(int flags, va_list arguments)
{
    return takes_mode(flags) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
    SS_EXPORT int name(const char *path, int flags, ...);                                                              \
    SS_EXPORT int name(const char *path, int flags, ...)                                                               \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return open_at(AT_FDCWD, path, flags, mode);                                                                   \
    }

#define OPENAT(name)                                                                                                   \
    SS_EXPORT int name(int dirfd, const char *path, int flags, ...);                                                   \
    SS_EXPORT int name(int dirfd, const char *path, int flags, ...)                                                    \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return open_at(dirfd, path, flags, mode);                                                                      \
    }

/* What fortified programs call where there is no mode: with one that is needed it would be a mistake. */
#define CHECKED(name)                                                                                                  \
    SS_EXPORT int name(const char *path, int flags);                                                                   \
    SS_EXPORT int name(const char *path, int flags)                                                                    \
    {                                                                                                                  \
        if (takes_mode(flags))                                                                                         \
            abort();                                                                                                   \
        return open_at(AT_FDCWD, path, flags, 0);                                                                      \
    }

#define CHECKED_AT(name)                                                                                               \
    SS_EXPORT int name(int dirfd, const char *path, int flags);                                                        \
    SS_EXPORT int name(int dirfd, const char *path, int flags)                                                         \
    {                                                                                                                  \
        if (takes_mode(flags))                                                                                         \
            abort();                                                                                                   \
        return open_at(dirfd, path, flags, 0);                                                                         \
    }

#define CREAT(name)                                                                                                    \
    SS_EXPORT int name(const char *path, mode_t mode);                                                                 \
    SS_EXPORT int name(const char *path, mode_t mode)                                                                  \
    {                                                                                                                  \
        return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);                                            \
    }

OPEN(open)
OPEN(open64)
OPEN(__open)
OPEN(__open64)
OPENAT(openat)
OPENAT(openat64)
CHECKED(__open_2)
CHECKED(__open64_2)
CHECKED_AT(__openat_2)
CHECKED_AT(__openat64_2)
CREAT(creat)
CREAT(creat64)
