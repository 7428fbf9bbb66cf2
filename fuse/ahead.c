#include "ahead.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "content.h"
#include "core/digest_memo.h"

#define WORTH (UINT64_C(8) << 20) /* bytes that are to be written between two times: who syncs often is not held up */
#define LAG                                                                                                            \
    (UINT64_C(64) << 20) /* bytes that may wait for their digests before their pages are dropped all the same          \
                          */

struct job {
    struct ss_save *save;
    bool drops;    /* the pages are not to stay */
    uint64_t size; /* when it was begun */
    uint64_t done; /* bytes whose pages are not needed any more */
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

    if (!atomic_load(&save->memo))
        atomic_store(&save->memo, ss_digest_memo_new());
    const struct ss_digest_run how = {.memo = atomic_load(&save->memo), .stop = &job->stop};
    if (!how.memo)
        return NULL;
    ss_digest_ahead(atomic_load(&save->draft), save->dropped_to, job->size, &how); /* whatever comes of it */
    job->done = ss_digest_memo_first_unknown(how.memo, save->dropped_to / SS_DIGEST_UNIT) * SS_DIGEST_UNIT;
    return NULL;
}

/* More is in the draft than went through us: it is a copy of an image, or has gaps. That part may not be in the page
 * cache, and to ask for it makes the kernel read it. What is being written now is not counted yet: hence the slack. */
static bool is_of_others_in_part(const struct job *job)
{
    return job->size > atomic_load(&job->save->written) + WORTH;
}

static bool is_worth_it(struct ss_fs *fs, const struct job *job)
{
    struct ss_save *save = job->save;

    if (!fs->digest_full || atomic_load(&save->backing) != 0)
        return false;
    return job->drops ? !is_of_others_in_part(job) : atomic_load(&save->written) - save->digested_at >= WORTH;
}

/* Of a draft that is not to stay in the page cache: what is on the disk now, and digested; what is not digested
 * (parallel writers leave gaps for a moment) when it lies far behind. That is read from the disk in the end, as is what
 * is written again later. */
static void drop_pages(const struct job *job)
{
    uint64_t to = job->save->dropped_to;
    uint64_t old = job->size > LAG ? (job->size - LAG) / SS_DIGEST_UNIT * SS_DIGEST_UNIT : 0;

    to = job->done > to ? job->done : to;
    to = old > to ? old : to;
    if (to == 0) /* which would mean up to the end */
        return;
    posix_fadvise(atomic_load(&job->save->draft), 0, (off_t)to, POSIX_FADV_DONTNEED);
    job->save->dropped_to = to;
}

/* drops: waits for the digests, too, for when they are taken their pages are not needed any more. */
static int sync_and_digest(struct ss_fs *fs, struct ss_save *save, bool data_only, bool drops)
{
    struct job job = {.save = save, .drops = drops};
    bool started = false;
    pthread_t thread;
    struct stat st;

    bool alone = !atomic_exchange(&save->digesting, true);
    if (alone && fstat(atomic_load(&save->draft), &st) == 0)
        job.size = (uint64_t)st.st_size;
    if (alone && save->dropped_to > job.size)
        save->dropped_to = 0; /* it was cut, and is written anew */
    if (alone && is_worth_it(fs, &job)) {
        save->digested_at = atomic_load(&save->written);
        started = pthread_create(&thread, NULL, digest_ahead, &job) == 0;
    }
    int r = ss_content_fsync(save, data_only);
    atomic_store(&job.stop, !drops);
    if (started)
        pthread_join(thread, NULL);
    if (!fs->digest_full)
        job.done = job.size;
    if (r == 0 && drops && (started || (alone && !fs->digest_full)))
        drop_pages(&job);
    if (alone)
        atomic_store(&save->digesting, false);
    return r;
}

int ss_ahead_fsync(struct ss_fs *fs, struct ss_save *save, bool data_only)
{
    return sync_and_digest(fs, save, data_only, false);
}

int ss_ahead_write_out(struct ss_fs *fs, struct ss_save *save)
{
    return sync_and_digest(fs, save, true, atomic_load(&save->unbuffered));
}
