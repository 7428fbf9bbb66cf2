#include "scarce.h"

#include <errno.h>
#include <time.h>

#include "log.h"

/* Descriptors that a save comes to need, mostly: draft or base, its creator, the witness, a party. */
#define DESCRIPTORS_EACH 4u

#define PAUSE 60 /* seconds between two messages */

uint32_t ss_scarce_saves_max(const struct ss_fs *fs)
{
    return fs->node_limit / DESCRIPTORS_EACH;
}

/* The first in a while? */
static bool is_time(struct ss_fs *fs)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t seconds = now.tv_sec + 1; /* 0: never told */
    int64_t told = atomic_load(&fs->shared->told_scarce);
    return (told == 0 || seconds - told >= PAUSE) &&
           atomic_compare_exchange_strong(&fs->shared->told_scarce, &told, seconds);
}

void ss_scarce_tell(struct ss_fs *fs, int error)
{
    if ((error != -ENFILE && error != -EMFILE) || !is_time(fs))
        return;
    pthread_mutex_lock(&fs->tables);
    uint32_t saves = fs->save_count;
    bool handles = ss_pool_count(&fs->handles) == fs->handles.capacity;
    pthread_mutex_unlock(&fs->tables);
    if (saves >= ss_scarce_saves_max(fs))
        ss_log(LOG_WARNING,
               "%s: opens are refused (ENFILE): there are %u drafts, and for more savesealfs has too few descriptors; "
               "raise its limit (LimitNOFILE= of its unit, ulimit -Hn), of which an eighth is for drafts",
               fs->mount, saves);
    else if (error == -EMFILE)
        ss_log(
            LOG_WARNING,
            "%s: opens are refused (EMFILE): savesealfs has no descriptor left of the %u that it may have; raise its "
            "limit (LimitNOFILE= of its unit, ulimit -Hn)",
            fs->mount, 2 * fs->node_limit);
    else if (handles)
        ss_log(LOG_WARNING, "%s: opens are refused (ENFILE): %u files are open, and there may be no more", fs->mount,
               fs->handles.capacity);
    else
        ss_log(LOG_WARNING,
               "%s: opens are refused (ENFILE): the system has no descriptor left (fs.file-max), or the mount's tables "
               "are full",
               fs->mount);
}
