/* A file's state at one moment, to tell later whether it has changed. Pure functions. */
#ifndef SAVESEAL_CORE_STAMP_H
#define SAVESEAL_CORE_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct ss_stamp {
    struct timespec time;
    int64_t size; /* bytes; -1 never equals that of a file */
};

/* Moves when content or attributes do. */
static inline struct ss_stamp ss_stamp_of(const struct stat *st)
{
    return (struct ss_stamp){.time = st->st_ctim, .size = st->st_size};
}

/* Moves with the content alone. */
static inline struct ss_stamp ss_stamp_of_content(const struct stat *st)
{
    return (struct ss_stamp){.time = st->st_mtim, .size = st->st_size};
}

/* Will what happens from now on give the file another time? Not within the same tick of the kernel's clock, where the
 * file system's times are that clock's (most of them until Linux 6.13), nor for a while where they are whole seconds:
 * those are never past. coarse: CLOCK_REALTIME_COARSE. */
static inline bool ss_stamp_is_past(const struct ss_stamp *stamp, const struct timespec *coarse)
{
    return stamp->time.tv_nsec != 0 && (coarse->tv_sec > stamp->time.tv_sec || (coarse->tv_sec == stamp->time.tv_sec &&
                                                                                coarse->tv_nsec > stamp->time.tv_nsec));
}

static inline bool ss_stamp_equal(const struct ss_stamp *a, const struct ss_stamp *b)
{
    return a->size == b->size && a->time.tv_sec == b->time.tv_sec && a->time.tv_nsec == b->time.tv_nsec;
}

#endif
