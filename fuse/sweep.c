#include "sweep.h"

#include <sys/stat.h>
#include <time.h>

#include "judge.h"
#include "save.h"

#define EXPECTED_SECONDS 10 /* how long a redirected open may take to come */

static bool try_claim(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool claimed = !save->busy;
    save->busy = true;
    pthread_mutex_unlock(&save->state);
    return claimed;
}

/* A tool, or somebody in the backing directory, has removed the draft. */
static bool is_gone(struct ss_save *save)
{
    struct stat st;
    int draft = atomic_load(&save->draft);

    return draft >= 0 && fstat(draft, &st) == 0 && st.st_nlink == 0;
}

/* A save that nobody has open: forget opens that were expected and never came (their thread was killed on the way), and
 * what follows from that. */
static void sweep_one(struct ss_fs *fs, uint32_t index, time_t now)
{
    struct ss_save *save = ss_save_at(fs, index);
    bool creator_lives = ss_family_creator_lives(&save->family);

    if (!try_claim(save))
        return; /* next time: the main thread does not wait */
    pthread_mutex_lock(&save->state);
    bool held_up = !ss_save_is_idle(save) && save->writers == 0;
    bool late = held_up && (!creator_lives || now - save->expected_since > EXPECTED_SECONDS);
    if (late)
        ss_save_expected_came(save, 0);
    bool settles = save->settle != SS_SETTLE_NO; /* then its end is being waited for elsewhere */
    bool unused = save->handles == 0 && ss_save_is_idle(save) && !settles;
    bool opened = save->opened;
    bool unjudged = unused && opened && save->record.state != SS_DRAFT_WAIT;
    pthread_mutex_unlock(&save->state);

    if (unjudged)
        ss_judge_conclude(fs, index);
    if (unused && opened && !creator_lives)
        ss_judge_abandon(fs, index);
    if (unused && (!opened || !creator_lives || is_gone(save)))
        ss_save_unlink(fs, index);
    ss_save_yield(save);
}

void ss_sweep(struct ss_fs *fs)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    for (uint32_t i = 0; (i = ss_save_next(fs, i)) != SS_NONE; i++) {
        sweep_one(fs, i, now.tv_sec);
        ss_save_release(fs, i);
    }
    ss_fs_close_pending(fs);
}
