/* A library that makes time stamps of files move in ticks of 12 ms, as those of older kernels do in their own: to be
 * loaded before the library that is tested. The clock of these ticks goes with them. */
#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>

#define TICK_NS 12000000L

#define EXPORT __attribute__((visibility("default")))

static void round_down(struct timespec *time)
{
    time->tv_nsec -= time->tv_nsec % TICK_NS;
    time->tv_nsec += time->tv_nsec == 0; /* a whole second would tell that the file system knows no parts of one */
}

static int status_of(int fd, struct stat *st)
{
    int (*real)(int, struct stat *) = (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat64");
    int r = real(fd, st);

    if (r == 0) {
        round_down(&st->st_mtim);
        round_down(&st->st_ctim);
    }
    return r;
}

/* Both names, whatever sizes of files this is compiled for; where longs have 64 bits they are one. */
EXPORT int old_fstat(int fd, struct stat *st) __asm__("fstat");
EXPORT int new_fstat(int fd, struct stat *st) __asm__("fstat64");

int old_fstat(int fd, struct stat *st)
{
    return status_of(fd, st);
}

int new_fstat(int fd, struct stat *st)
{
    return status_of(fd, st);
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *time)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(clock, time);

    if (r == 0 && clock == CLOCK_REALTIME_COARSE)
        round_down(time);
    return r;
}
