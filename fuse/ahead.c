#include "ahead.h"

#include <pthread.h>
#include <sys/stat.h>

#include "content.h"
#include "core/digest_memo.h"

#define WORTH (UINT64_C(8) << 20) /* bytes that are to be written between two times: who syncs often is not held up */

struct job {
    struct ss_save *save;
    _Atomic bool stop;
};

void ss_ahead_forget(struct ss_save *save, uint64_t start, uint64_t end)
{
    struct ss_digest_memo *memo = atomic_load(&save->memo);

    if (memo)
        ss_digest_memo_forget(memo, start, end);
}

struct ss_digest_memo *ss_ahead_known(struct ss_save *save)
{
    return atomic_load(&save->backing) == 0 ? atomic_load(&save->memo) : NULL;
}

static void *digest_ahead(void *context)
{
    struct job *job = context;
    struct ss_save *save = job->save;
    int draft = atomic_load(&save->draft);
    struct stat st;

    if (!atomic_load(&save->memo))
        atomic_store(&save->memo, ss_digest_memo_new());
    const struct ss_digest_run how = {.memo = atomic_load(&save->memo), .stop = &job->stop};
    if (how.memo && fstat(draft, &st) == 0)
        ss_digest_ahead(draft, (uint64_t)st.st_size, &how); /* whatever comes of it */
    return NULL;
}

/* What was written past the page cache would have to be read from the disk, which has enough to do. */
static bool is_worth_it(struct ss_fs *fs, struct ss_save *save)
{
    return fs->digest_full && atomic_load(&save->backing) == 0 && !atomic_load(&save->unbuffered) &&
           atomic_load(&save->written) - save->digested_at >= WORTH;
}

int ss_ahead_fsync(struct ss_fs *fs, struct ss_save *save, bool data_only)
{
    struct job job = {.save = save};
    pthread_t thread;
    bool started = false;

    bool alone = !atomic_exchange(&save->digesting, true);
    if (alone && is_worth_it(fs, save)) {
        save->digested_at = atomic_load(&save->written);
        started = pthread_create(&thread, NULL, digest_ahead, &job) == 0;
    }
    int r = ss_content_fsync(save, data_only);
    atomic_store(&job.stop, true);
    if (started)
        pthread_join(thread, NULL);
    if (alone)
        atomic_store(&save->digesting, false);
    return r;
}
