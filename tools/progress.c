#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/check/quote.h"
#include "core/util.h"
#include "core/check/place.h"
#include "text.h"

#define LONG_FILE ((uint64_t)256 << 20) /* bytes; shorter ones are done before anybody could read the line */
#define UPDATE_SECONDS 0.1
#define BAR_WIDTH 20

static double seconds_between(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

void progress_start(struct progress *progress, const char *path)
{
    const char *term = getenv("TERM");

    *progress = (struct progress){.wanted = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0};
    if (!progress->wanted)
        return;
    SS_AUTO_FREE char *label = text_quote(ss_place_base(path));
    int n = snprintf(progress->label, sizeof progress->label, "%.24s", label);
    while (n > 0 && !ss_is_utf8(progress->label)) /* the cut may have gone through a character */
        progress->label[--n] = '\0';
    clock_gettime(CLOCK_MONOTONIC, &progress->start);
    progress->last = progress->start;
}

int progress_step(void *context, uint64_t done, uint64_t size)
{
    struct progress *progress = context;
    char bar[BAR_WIDTH + 1], speed[TEXT_SIZE_MAX];
    struct timespec now;

    if (!progress->wanted || size < LONG_FILE || done > size)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (seconds_between(&progress->last, &now) < UPDATE_SECONDS)
        return 0;
    progress->last = now;
    progress->shown = true;
    double part = (double)done / (double)size;
    double rate = (double)done / seconds_between(&progress->start, &now);
    long left = rate > 0 ? (long)((double)(size - done) / rate) : 0;
    size_t full = (size_t)(part * BAR_WIDTH);
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', full);
    bar[BAR_WIDTH] = '\0';
    text_size((uint64_t)rate, speed);
    fprintf(stderr, "\r%s [%s] %3d%% %s/s, %ld:%02ld left\033[K", progress->label, bar, (int)(part * 100), speed,
            left / 60, left % 60);
    fflush(stderr);
    return 0;
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
