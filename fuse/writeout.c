#include "writeout.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "save.h"

#define TICK_NS 20000000L
#define STEP ((off_t)8 << 20)

/* Returns whether it is being written, and by the kernel itself. */
static bool is_unseen(struct ss_save *save)
{
    if (atomic_load(&save->backing) == 0 || atomic_load(&save->draft) < 0)
        return false;
    pthread_mutex_lock(&save->state);
    bool unseen = save->status == SS_SAVE_OPEN && save->writers > 0;
    pthread_mutex_unlock(&save->state);
    return unseen;
}

/* What was appended since the last look. Who writes in the middle of a file may write there again. */
static void write_out(struct ss_save *save)
{
    int draft = atomic_load(&save->draft);
    struct stat st;

    if (fstat(draft, &st) < 0)
        return;
    if (st.st_size < save->written_out)
        save->written_out = st.st_size;
    if (st.st_size - save->written_out < STEP)
        return;
    off_t from = save->written_out;
    sync_file_range(draft, from, st.st_size - from, SYNC_FILE_RANGE_WRITE); /* an error stays for fdatasync to tell */
    save->written_out = st.st_size;
}

/* Returns whether there was something to look at. */
static bool look_at_all(struct ss_fs *fs)
{
    bool any = false;

    for (uint32_t i = 0; i < ss_pool_reach(&fs->saves) && !atomic_load(&fs->writeout_stopping); i++) {
        struct ss_save *save = ss_save_at(fs, i);
        if (!atomic_load(&save->in_use))
            continue;
        pthread_mutex_lock(&fs->tables);
        bool held = save->in_use && save->linked;
        if (held)
            ss_save_ref(fs, i);
        pthread_mutex_unlock(&fs->tables);
        if (!held)
            continue;
        if (is_unseen(save)) {
            write_out(save);
            any = true;
        }
        ss_save_release(fs, i);
    }
    return any;
}

static void *look(void *context)
{
    const struct timespec tick = {.tv_nsec = TICK_NS};
    struct ss_fs *fs = context;

    while (!atomic_load(&fs->writeout_stopping)) {
        sem_wait(&fs->writeout_wanted); /* when a signal ends it, that is a look too many */
        while (look_at_all(fs) && !atomic_load(&fs->writeout_stopping))
            nanosleep(&tick, NULL);
        ss_fs_close_pending(fs);
    }
    return NULL;
}

static bool is_useful(const struct ss_fs *fs)
{
    return fs->marked_only && !fs->no_passthrough;
}

int ss_writeout_start(struct ss_fs *fs)
{
    if (!is_useful(fs))
        return 0;
    sem_init(&fs->writeout_wanted, 0, 1); /* the worker before may have left drafts open */
    return -pthread_create(&fs->writeout_thread, NULL, look, fs);
}

void ss_writeout_stop(struct ss_fs *fs)
{
    if (!is_useful(fs))
        return;
    atomic_store(&fs->writeout_stopping, true);
    sem_post(&fs->writeout_wanted);
    pthread_join(fs->writeout_thread, NULL);
}

void ss_writeout_notice(struct ss_fs *fs)
{
    int value;

    if (is_useful(fs) && sem_getvalue(&fs->writeout_wanted, &value) == 0 && value == 0)
        sem_post(&fs->writeout_wanted);
}
