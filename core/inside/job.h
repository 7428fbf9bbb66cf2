/* What the check of one format works with. */
#ifndef SAVESEAL_CORE_INSIDE_JOB_H
#define SAVESEAL_CORE_INSIDE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inside.h"

struct ss_job {
    int fd;        /* the caller's */
    uint64_t size; /* bytes of it that count */
    const struct ss_inside_options *options;
    struct ss_inside *inside;
    size_t *memory; /* bytes: what it has of options->memory; NULL when it is not asked for */
};

/* One format. check() is called when matches() says yes to the file's first len bytes (all of it, if shorter than
 * SS_JOB_HEAD). It returns 0 with a finding said, or -errno; ss_inside_check() has set SS_END_UNPROVEN before. */
struct ss_inside_format {
    const char *kind, *title;
    bool (*matches)(const unsigned char *head, size_t len, uint64_t size);
    int (*check)(const struct ss_job *job);
};

#define SS_JOB_HEAD 4096

/* One format of images that are directories: fd is one, open for reading, and size is 0. matches() looks at a file or
 * two. */
struct ss_inside_directory_format {
    const char *kind, *title;
    bool (*matches)(int dir);
    int (*check)(const struct ss_job *job);
    bool (*has)(const char *name); /* does a file of that name belong to such an image? */
};

/* Does the file have len bytes at off? */
static inline bool ss_job_holds(const struct ss_job *job, uint64_t off, uint64_t len)
{
    return off <= job->size && len <= job->size - off;
}

/* Reads len bytes at off. Returns 0, -ENODATA when the file does not have them, or -errno. */
int ss_job_read(const struct ss_job *job, uint64_t off, void *buf, size_t len);

/* To be called every few MiB of work. Returns 0, or what the check has to end with. */
int ss_job_step(const struct ss_job *job, uint64_t done);

/* To be called before a check takes memory: bytes is how much it will have then in all. Less than SS_MEMORY_SMALL need
 * not be told, and what it had is given back after the check. Waits until there is so much. Returns 0, or what the
 * check has to end with. */
int ss_job_reserve(const struct ss_job *job, size_t bytes);

/* Sets finding and detail. Returns 0, so that a check can end with it. */
int ss_job_say(const struct ss_job *job, enum ss_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a fact; one too many is left out, a text too long is cut. */
void ss_job_fact(const struct ss_job *job, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
