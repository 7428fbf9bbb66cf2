#include "early.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>

#include "core/compat.h"

/* There is no function of the C library for this that is not one of our hooks. */
static long enter_kernel(long number, const long a[6])
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    long r = number;
    __asm__ volatile("syscall"
                     : "+a"(r)
                     : "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long r __asm__("x0") = a[0];
    register long x1 __asm__("x1") = a[1];
    register long x2 __asm__("x2") = a[2];
    register long x3 __asm__("x3") = a[3];
    register long x4 __asm__("x4") = a[4];
    register long x5 __asm__("x5") = a[5];
    __asm__ volatile("svc 0" : "+r"(r) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
#else
    long r = -ENOSYS; /* see ss_real_or_early: not called there */
    (void)number;
    (void)a;
#endif
    if (r >= 0 || r < -4095)
        return r;
    errno = (int)-r;
    return -1;
}

#define CALL(number, ...) enter_kernel(number, (const long[6]){__VA_ARGS__})

static int open_early(int dirfd, const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return (int)CALL(SYS_openat, dirfd, (long)(intptr_t)path, flags, (long)mode);
}

static int close_early(int fd)
{
    return (int)CALL(SYS_close, fd);
}

static int unmap_early(void *address, size_t len)
{
    return (int)CALL(SYS_munmap, (long)(intptr_t)address, (long)len);
}

static int control_early(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return (int)CALL(SYS_fcntl, fd, command, (long)(intptr_t)argument);
}

static ssize_t read_link_early(int dirfd, const char *path, char *buf, size_t size)
{
    return CALL(SYS_readlinkat, dirfd, (long)(intptr_t)path, (long)(intptr_t)buf, (long)size);
}

static long call_early(long number, ...)
{
    va_list arguments;
    long a[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    return enter_kernel(number, a);
}

const struct ss_real ss_early = {
    .openat = open_early,
    .close = close_early,
    .munmap = unmap_early,
    .fcntl = control_early,
    .readlinkat = read_link_early,
    .syscall = call_early,
};
