#include "job.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/util.h"
#include "memory.h"

int ss_job_read(const struct ss_job *job, uint64_t off, void *buf, size_t len)
{
    if (!ss_job_holds(job, off, len))
        return -ENODATA;
    ssize_t n = ss_pread_full(job->fd, buf, len, (off_t)off);
    if (n < 0)
        return (int)n;
    return (size_t)n < len ? -ENODATA : 0;
}

int ss_job_step(const struct ss_job *job, uint64_t done)
{
    const struct ss_inside_options *options = job->options;

    if (options->stop && atomic_load_explicit(options->stop, memory_order_relaxed))
        return -ECANCELED;
    return options->progress ? options->progress(options->context, done < job->size ? done : job->size, job->size) : 0;
}

int ss_job_reserve(const struct ss_job *job, size_t bytes)
{
    if (!job->memory || bytes <= SS_MEMORY_SMALL || bytes <= *job->memory)
        return 0;
    while (!ss_memory_change(job->options->memory, job->memory, bytes)) {
        int r = ss_job_step(job, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

int ss_job_say(const struct ss_job *job, enum ss_finding finding, const char *format, ...)
{
    va_list args;

    job->inside->finding = finding;
    va_start(args, format);
    vsnprintf(job->inside->detail, sizeof job->inside->detail, format, args);
    va_end(args);
    return 0;
}

void ss_job_fact(const struct ss_job *job, const char *key, const char *format, ...)
{
    struct ss_inside *inside = job->inside;
    va_list args;

    if (inside->fact_count >= SS_FACTS_MAX)
        return;
    struct ss_fact *fact = &inside->facts[inside->fact_count++];
    fact->key = key;
    va_start(args, format);
    vsnprintf(fact->text, sizeof fact->text, format, args);
    va_end(args);
}
