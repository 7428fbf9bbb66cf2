#include "meter.h"

#include <stdio.h>

#include "core/check/draftfile.h"
#include "core/thread.h"
#include "progress.h"

#define FIRST_SECONDS 0.5 /* what is done before needs no line */
#define UPDATE_SECONDS 0.1
#define LABEL_MAX 40

static double seconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* Walks as the run does, for the sum of the sizes. */
static void *count(void *argument)
{
    struct meter *meter = argument;
    struct walk_item item;
    struct stat st;

    struct walk *walk = walk_start(meter->paths, meter->count, meter->mode);
    while (!atomic_load(&meter->ended) && walk_next(walk, &item)) {
        if (!item.sorry && !ss_draftfile_named(item.name) && walk_item_stat(&item, &st) == 0 && S_ISREG(st.st_mode))
            atomic_fetch_add(&meter->total, meter->files ? 1 : (uint64_t)st.st_size);
        walk_item_free(&item);
    }
    walk_end(walk);
    atomic_store(&meter->total_known, true);
    return NULL;
}

void meter_start(struct meter *meter, char *const *paths, size_t paths_count, enum walk_mode mode, bool files)
{
    *meter = (struct meter){
        .wanted = progress_on_terminal(), .files = files, .mode = mode, .paths = paths, .count = paths_count};
    pthread_mutex_init(&meter->lock, NULL);
    if (!meter->wanted)
        return;
    clock_gettime(CLOCK_MONOTONIC, &meter->start);
    meter->last = meter->start;
    meter->counting = ss_thread_start(&meter->counter, count, meter) == 0;
}

void meter_end(struct meter *meter)
{
    atomic_store(&meter->ended, true);
    if (meter->counting)
        pthread_join(meter->counter, NULL);
    meter_hide(meter);
    meter_show(meter);
    pthread_mutex_destroy(&meter->lock);
}

static void draw(struct meter *meter, uint64_t done)
{
    uint64_t total = atomic_load(&meter->total);
    char label[LABEL_MAX];

    if (seconds_since(&meter->start) < FIRST_SECONDS || seconds_since(&meter->last) < UPDATE_SECONDS)
        return;
    clock_gettime(CLOCK_MONOTONIC, &meter->last);
    snprintf(label, sizeof label, atomic_load(&meter->total_known) ? "verify" : "verify (counting)");
    progress_draw(label, done < total ? done : total, total, &meter->start, meter->files ? "files" : NULL);
    meter->shown = true;
}

void meter_add(struct meter *meter, uint64_t more)
{
    uint64_t done = atomic_fetch_add(&meter->done, more) + more;

    if (!meter->wanted || pthread_mutex_trylock(&meter->lock) != 0) /* somebody is at it */
        return;
    draw(meter, done);
    pthread_mutex_unlock(&meter->lock);
}

void meter_hide(struct meter *meter)
{
    pthread_mutex_lock(&meter->lock);
    if (meter->shown)
        progress_erase();
    meter->shown = false;
}

void meter_show(struct meter *meter)
{
    pthread_mutex_unlock(&meter->lock);
}
