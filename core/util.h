/* Small helpers that every module uses: scoped cleanup, whole reads and writes.
 * Header-only on purpose: nothing here has state, prints or exits. */
#ifndef SAVESEAL_CORE_UTIL_H
#define SAVESEAL_CORE_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "compat.h"

#define SS_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Cleanup helpers keep errno, so that they may run between a failing call and the line that reads it. */
static inline void ss_cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void ss_cleanup_free(void *pointer)
{
    int saved = errno;
    free(*(void **)pointer);
    errno = saved;
}

#define SS_AUTO_CLOSE __attribute__((cleanup(ss_cleanup_close)))
#define SS_AUTO_FREE __attribute__((cleanup(ss_cleanup_free)))

/* Hands *fd over to the caller: the scoped cleanup then finds nothing to close. */
static inline int ss_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define SS_SECOND_NS UINT64_C(1000000000)

/* CLOCK_MONOTONIC, nanoseconds. */
static inline uint64_t ss_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SS_SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Reads up to len bytes at off, going on after EINTR and short reads.
 * Returns the bytes read (less than len only at end of file) or -errno. */
static inline ssize_t ss_pread_full(int fd, void *buf, size_t len, off_t off)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Writes len bytes at off, going on after EINTR and short writes. *done (never NULL) says how many bytes
 * reached the file, also on failure. Returns 0 or -errno. */
static inline int ss_pwrite_full(int fd, const void *buf, size_t len, off_t off, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = pwrite(fd, (const char *)buf + *done, len - *done, off + (off_t)*done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        *done += (size_t)n;
    }
    return 0;
}

#endif
