#include "ahead.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "content.h"
#include "core/digest_memo.h"

#define WORTH (UINT64_C(8) << 20) /* bytes that are to be written between two times: who syncs often is not held up */

struct job {
    struct ss_save *save;
    uint64_t size; /* when it was begun */
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
    if (how.memo)
        ss_digest_ahead(atomic_load(&save->draft), job->size, &how); /* whatever comes of it */
    return NULL;
}

static bool is_worth_it(struct ss_fs *fs, struct ss_save *save)
{
    return fs->digest_full && atomic_load(&save->backing) == 0 &&
           atomic_load(&save->written) - save->digested_at >= WORTH;
}

/* Of a draft that is not to stay in the page cache: what is on the disk now, and digested, as far as that was possible.
 * Of a last unit that is not whole the digest is yet to come. */
static void drop_pages(const struct job *job)
{
    off_t whole = (off_t)(job->size / SS_DIGEST_UNIT * SS_DIGEST_UNIT);

    if (whole > 0) /* 0 would mean up to the end */
        posix_fadvise(atomic_load(&job->save->draft), 0, whole, POSIX_FADV_DONTNEED);
}

/* More is in the draft than went through this worker: it is a copy of an image, has gaps, or was begun by a worker that
 * died. That part is not in the page cache any more, and to ask for it makes the kernel read it, at each look. */
static bool is_of_others_in_part(const struct job *job)
{
    return job->size > atomic_load(&job->save->written);
}

/* drops: waits for the digests, too, for when they are taken their pages are not needed any more. */
static int sync_and_digest(struct ss_fs *fs, struct ss_save *save, bool data_only, bool drops)
{
    struct job job = {.save = save};
    bool started = false;
    pthread_t thread;
    struct stat st;

    bool alone = !atomic_exchange(&save->digesting, true);
    if (alone && fstat(atomic_load(&save->draft), &st) == 0)
        job.size = (uint64_t)st.st_size;
    if (alone && is_worth_it(fs, save) && !(drops && is_of_others_in_part(&job))) {
        save->digested_at = atomic_load(&save->written);
        started = pthread_create(&thread, NULL, digest_ahead, &job) == 0;
    }
    int r = ss_content_fsync(save, data_only);
    atomic_store(&job.stop, !drops);
    if (started)
        pthread_join(thread, NULL);
    if (r == 0 && drops && (started || !fs->digest_full))
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
