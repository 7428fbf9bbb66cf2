#include "window.h"

#include <errno.h>

#define AHEAD_MIN 4096

static int read_ahead(const struct ss_job *job, struct ss_window *window, uint64_t off, size_t len)
{
    bool goes_on = window->len > 0 && off >= window->start && off - window->start <= window->len;
    uint64_t rest = job->size - off;

    window->ahead = !goes_on ? AHEAD_MIN : window->ahead < SS_WINDOW_SIZE ? window->ahead * 2 : SS_WINDOW_SIZE;
    size_t want = window->ahead > len ? window->ahead : len;
    if (want > rest)
        want = (size_t)rest;
    window->len = 0;
    int r = ss_job_read(job, off, window->bytes, want);
    if (r < 0)
        return r;
    window->start = off;
    window->len = want;
    return 0;
}

int ss_window_at(const struct ss_job *job, struct ss_window *window, uint64_t off, size_t len,
                 const unsigned char **bytes)
{
    if (!ss_job_holds(job, off, len) || len > sizeof window->bytes)
        return -ENODATA;
    if (off < window->start || off - window->start > window->len || len > window->len - (off - window->start)) {
        int r = read_ahead(job, window, off, len);
        if (r < 0)
            return r;
    }
    *bytes = window->bytes + (off - window->start);
    return 0;
}
