#include "ahead.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "content.h"
#include "verdict.h"
#include "core/digest_memo.h"

#define WORTH ((off_t)1 << 20) /* less is digested in no time */
#define PAUSE_NS 5000000L
#define OLD_NS INT64_C(20000000) /* longer than the time of change stands still on any kernel */

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
    struct ss_digest_memo *memo = atomic_load(&save->memo);
    struct ss_stamp now = ss_verdict_written(save);

    if (memo && atomic_load(&save->backing) != 0 && !ss_stamp_equal(&now, &save->memo_written))
        return NULL;
    return memo;
}

/* Of what the kernel writes by itself only the time of change tells that it was changed: so that has to be a while ago.
 * Returns false when the time is over before. */
static bool wait_until_old(const struct job *job)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    while (!atomic_load(&job->stop)) {
        struct ss_stamp written = ss_verdict_written(job->save);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t age = (int64_t)(now.tv_sec - written.time.tv_sec) * 1000000000 + (now.tv_nsec - written.time.tv_nsec);
        if (written.size >= 0 && age > OLD_NS)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* What is known of a draft that the kernel writes by itself is from one moment. */
static bool begin_unseen(struct job *job, uint64_t size)
{
    struct ss_save *save = job->save;

    if (save->memo_read > size || !wait_until_old(job))
        return false; /* who syncs again and again is not worth it */
    struct ss_stamp written = ss_verdict_written(save);
    if (!ss_stamp_equal(&written, &save->memo_written)) {
        ss_ahead_forget(save, 0, UINT64_MAX);
        save->memo_written = written;
        save->memo_read += size;
    }
    return true;
}

static void *digest_ahead(void *context)
{
    struct job *job = context;
    struct ss_save *save = job->save;
    int draft = atomic_load(&save->draft);
    struct ss_sha256 unused;
    struct stat st;

    if (!atomic_load(&save->memo))
        atomic_store(&save->memo, ss_digest_memo_new());
    if (!atomic_load(&save->memo) || fstat(draft, &st) < 0 ||
        (atomic_load(&save->backing) != 0 && !begin_unseen(job, (uint64_t)st.st_size)))
        return NULL;
    const struct ss_digest_run how = {.memo = atomic_load(&save->memo), .stop = &job->stop, .cached_only = true};
    ss_digest_verity(draft, (uint64_t)st.st_size, &how, &unused); /* whatever comes of it */
    return NULL;
}

/* What was written past the page cache would have to be read from the disk, which has enough to do. */
static bool is_worth_it(struct ss_fs *fs, struct ss_save *save)
{
    struct stat st;

    return fs->digest_full && !atomic_load(&save->unbuffered) && fstat(atomic_load(&save->draft), &st) == 0 &&
           st.st_size >= WORTH;
}

int ss_ahead_fsync(struct ss_fs *fs, struct ss_save *save, bool data_only)
{
    struct job job = {.save = save};
    pthread_t thread;

    bool alone = is_worth_it(fs, save) && pthread_mutex_trylock(&save->preparing) == 0;
    bool started = alone && pthread_create(&thread, NULL, digest_ahead, &job) == 0;
    int r = ss_content_fsync(save, data_only);
    atomic_store(&job.stop, true);
    if (started)
        pthread_join(thread, NULL);
    if (alone)
        pthread_mutex_unlock(&save->preparing);
    return r;
}
