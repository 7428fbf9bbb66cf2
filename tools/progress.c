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

bool progress_on_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void progress_draw(const char *label, uint64_t done, uint64_t total, const struct timespec *start, const char *unit)
{
    char bar[BAR_WIDTH + 1], speed[TEXT_SIZE_MAX], left[32];
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    double part = total ? (double)done / (double)total : 1, seconds = seconds_between(start, &now);
    double rate = seconds > 0 ? (double)done / seconds : 0;
    long wait = rate > 0 ? (long)((double)(total - done) / rate) : 0;
    size_t full = (size_t)(part * BAR_WIDTH);
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', full);
    bar[BAR_WIDTH] = '\0';
    if (unit)
        snprintf(speed, sizeof speed, "%.0f %s", rate, unit);
    else
        text_size((uint64_t)rate, speed);
    if (wait >= 3600)
        snprintf(left, sizeof left, "%ld:%02ld:%02ld", wait / 3600, wait / 60 % 60, wait % 60);
    else
        snprintf(left, sizeof left, "%ld:%02ld", wait / 60, wait % 60);
    fprintf(stderr, "\r%s [%s] %3d%% %s/s, %s left\033[K", label, bar, (int)(part * 100), speed, left);
    fflush(stderr);
}

void progress_erase(void)
{
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

void progress_start(struct progress *progress, const char *path)
{
    *progress = (struct progress){.wanted = progress_on_terminal()};
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
    struct timespec now;

    if (!progress->wanted || size < LONG_FILE || done > size)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (seconds_between(&progress->last, &now) < UPDATE_SECONDS)
        return 0;
    progress->last = now;
    progress->shown = true;
    progress_draw(progress->label, done, size, &progress->start, NULL);
    return 0;
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        progress_erase();
    progress->shown = false;
}
