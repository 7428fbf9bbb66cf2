/* System calls that a program makes by number, through the C library's syscall(): those that open or close a file go
 * the way of their functions. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <unistd.h>

#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "core/compat.h"

/* How the real one is called: none of them needs more than six. */
typedef long (*real_syscall)(long number, long a, long b, long c, long d, long e, long f);

#define PLAIN_FLAGS                                                                                                    \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_NOFOLLOW | O_NOATIME |     \
     O_CLOEXEC | O_NOCTTY | O_LARGEFILE)

static long open_how(int dirfd, const char *path, const struct open_how *how, size_t size, real_syscall real)
{
    /* What asks for more than open does is not for us; a save that asks for it is not protected (docs/preload.md). */
    if (size != sizeof *how || !ss_readable(how, size) || how->resolve != 0 || (how->flags & ~(uint64_t)PLAIN_FLAGS) ||
        (how->mode != 0 && !(how->flags & O_CREAT)) || !(how->flags & (O_ACCMODE | O_CREAT | O_TRUNC)))
        return real(SYS_openat2, dirfd, (long)path, (long)how, (long)size, 0, 0);
    return SS_HOOK(openat(dirfd, path, (int)how->flags, (mode_t)how->mode));
}

/* Of glibc 2.43. */
SS_EXPORT int openat2(int dirfd, const char *path, const struct open_how *how, size_t size);
SS_EXPORT int openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    real_syscall real = (real_syscall)(void *)ss_real()->syscall;

    if (!ss_active || ss_inside())
        return (int)real(SYS_openat2, dirfd, (long)path, (long)how, (long)size, 0, 0);
    return (int)open_how(dirfd, path, how, size, real);
}

int pidfd_getfd(int pidfd, int fd, unsigned flags); /* hooks_dup.c */

SS_EXPORT long syscall(long number, ...)
{
    va_list arguments;
    long a[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    real_syscall real = (real_syscall)(void *)ss_real_or_early()->syscall;
    if (!ss_active || ss_inside())
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    switch (number) {
    case SYS_openat:
        return SS_HOOK(openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]));
    case SYS_openat2:
        return open_how((int)a[0], (const char *)a[1], (const struct open_how *)a[2], (size_t)a[3], real);
    case SYS_close:
        return SS_HOOK(close((int)a[0]));
    case SYS_close_range:
        return SS_HOOK(close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]));
    case SYS_dup:
        return SS_HOOK(dup((int)a[0]));
    case SYS_dup3:
        return SS_HOOK(dup3((int)a[0], (int)a[1], (int)a[2]));
#ifdef SYS_open /* of older machines */
    case SYS_open:
        return SS_HOOK(open((const char *)a[0], (int)a[1], (mode_t)a[2]));
    case SYS_creat:
        return SS_HOOK(creat((const char *)a[0], (mode_t)a[1]));
    case SYS_dup2:
        return SS_HOOK(dup2((int)a[0], (int)a[1]));
#endif
    case SYS_io_uring_setup: { /* QEMU has one for its disks: no reason to stop it */
        SS_INSIDE;
        ss_self_report("io_uring: what is opened or closed through it is not protected");
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    case SYS_pidfd_getfd:
        return SS_HOOK(pidfd_getfd((int)a[0], (int)a[1], (unsigned)a[2]));
    case SYS_exit_group:
        SS_HOOK(_exit((int)a[0]));
    default:
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
