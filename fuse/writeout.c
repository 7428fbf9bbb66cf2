#include "writeout.h"

#include <sys/stat.h>
#include <time.h>

#include "ahead.h"
#include "content.h"

#define STEP (UINT64_C(32) << 20)           /* bytes: some tenths of a second for a disk, little to redo */
#define UNBUFFERED_STEP (UINT64_C(8) << 20) /* of a save with O_DIRECT: it takes up that much of the page cache */
#define TICK_MS 20U
#define REST_MS 320U /* between two looks when nothing happens */

/* What was seen of all saves. */
struct look {
    bool unseen; /* there are drafts that the kernel writes by itself */
    bool grown;  /* one of them has grown */
};

/* After so many bytes it is synced. */
static uint64_t step_of(struct ss_save *save)
{
    return atomic_load(&save->unbuffered) && atomic_load(&save->backing) == 0 ? UNBUFFERED_STEP : STEP;
}

/* Is it being written? */
static bool is_written(struct ss_save *save)
{
    if (atomic_load(&save->draft) < 0)
        return false;
    pthread_mutex_lock(&save->state);
    bool written = save->status == SS_SAVE_OPEN && save->writers > 0;
    pthread_mutex_unlock(&save->state);
    return written;
}

/* A count of bytes that grows with what is written. */
static uint64_t progress_of(struct ss_save *save, bool unseen)
{
    uint64_t progress = atomic_load(&save->written);
    struct stat st;

    if (unseen && fstat(atomic_load(&save->draft), &st) == 0)
        progress += (uint64_t)st.st_blocks * 512;
    return progress;
}

static void look_at(struct ss_fs *fs, struct ss_save *save, struct look *look)
{
    bool unseen = atomic_load(&save->backing) != 0;
    uint64_t progress = progress_of(save, unseen);

    look->unseen |= unseen;
    look->grown |= unseen && progress > save->looked_at;
    save->looked_at = progress;
    if (progress < save->written_out)
        save->written_out = progress;
    if (progress - save->written_out < step_of(save))
        return;
    save->written_out = progress;
    if (unseen)
        ss_content_fsync(save, true); /* a failure is noted, and the last close tells */
    else
        ss_ahead_write_out(fs, save);
}

static void look_at_all(struct ss_fs *fs, struct look *look)
{
    *look = (struct look){0};
    for (uint32_t i = 0; (i = ss_save_next(fs, i)) != SS_NONE; i++) {
        if (is_written(ss_save_at(fs, i)) && !atomic_load(&fs->writeout_stopping))
            look_at(fs, ss_save_at(fs, i), look);
        ss_save_release(fs, i);
    }
    ss_fs_close_pending(fs);
}

/* Returns when something is to be looked at: a notice came, or so much time went by (0: none). */
static void wait_for(struct ss_fs *fs, unsigned milliseconds)
{
    struct timespec until;

    if (milliseconds == 0) {
        sem_wait(&fs->writeout_wanted); /* when a signal ends it, that is a look too many */
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)milliseconds * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    sem_clockwait(&fs->writeout_wanted, CLOCK_MONOTONIC, &until);
}

static void *write_out(void *context)
{
    struct ss_fs *fs = context;
    unsigned pause = 0;
    struct look look;

    while (!atomic_load(&fs->writeout_stopping)) {
        wait_for(fs, pause);
        look_at_all(fs, &look);
        if (!look.unseen)
            pause = 0;
        else if (look.grown || pause == 0)
            pause = TICK_MS;
        else if (pause < REST_MS)
            pause *= 2;
    }
    return NULL;
}

int ss_writeout_start(struct ss_fs *fs)
{
    sem_init(&fs->writeout_wanted, 0, 1); /* a worker before may have left drafts open */
    int r = -pthread_create(&fs->writeout_thread, NULL, write_out, fs);
    fs->writeout_runs = r == 0;
    return r;
}

void ss_writeout_stop(struct ss_fs *fs)
{
    if (!fs->writeout_runs)
        return;
    atomic_store(&fs->writeout_stopping, true);
    sem_post(&fs->writeout_wanted);
    pthread_join(fs->writeout_thread, NULL);
    fs->writeout_runs = false;
}

void ss_writeout_notice(struct ss_fs *fs)
{
    int value;

    if (sem_getvalue(&fs->writeout_wanted, &value) == 0 && value == 0)
        sem_post(&fs->writeout_wanted);
}

void ss_writeout_written(struct ss_fs *fs, struct ss_save *save, size_t size)
{
    uint64_t before = atomic_fetch_add(&save->written, size), step = step_of(save);

    if (before / (step / 2) != (before + size) / (step / 2)) /* twice a step: the thread counts from another place */
        ss_writeout_notice(fs);
}
