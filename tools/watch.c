#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "core/draft.h"
#include "core/stamp.h"

/* The coarsest clock that file times are taken from: two changes within it have the same time. */
#define CLOCK_STEP_NS 20000000L

static _Atomic bool broken;

static void on_break(int number)
{
    (void)number;
    atomic_store_explicit(&broken, true, memory_order_relaxed);
}

static bool judged(int error, struct ss_judgement *why)
{
    if (error == -EBUSY)
        ss_judge(why, SS_DRAFT_IN_PROGRESS, "somebody has it open for writing");
    else if (error < 0)
        ss_judge_errno(why, error);
    return error == 0;
}

static int listen_for_breaks(void)
{
    struct sigaction action = {.sa_handler = on_break, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    return sigaction(SIGURG, &action, NULL) < 0 ? -errno : 0; /* the signal that ss_draft_take_lease asks for */
}

static bool is_recent(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    int64_t seconds = now.tv_sec - then->tv_sec;
    return seconds == 0 || seconds == 1 ? seconds * INT64_C(1000000000) + now.tv_nsec - then->tv_nsec < CLOCK_STEP_NS
                                        : false;
}

/* Without a lease: a change that comes right after one that was seen would have the same time. */
static int note_times(struct watch *watch)
{
    const struct timespec step = {.tv_nsec = CLOCK_STEP_NS};

    if (fstat(watch->fd, &watch->before) < 0)
        return -errno;
    if (watch->leased || !is_recent(&watch->before.st_ctim))
        return 0;
    nanosleep(&step, NULL);
    return fstat(watch->fd, &watch->before) < 0 ? -errno : 0;
}

bool watch_begin_unleased(struct watch *watch, int fd, struct ss_judgement *why)
{
    atomic_store_explicit(&broken, false, memory_order_relaxed);
    *watch = (struct watch){.fd = fd};
    return judged(note_times(watch), why);
}

static int take_lease(struct watch *watch)
{
    int r = listen_for_breaks();
    if (r < 0)
        return r;
    r = ss_draft_take_lease(watch->fd);
    watch->leased = r == 0;
    return r == -EAGAIN ? -EBUSY : 0;
}

bool watch_begin(struct watch *watch, int fd, struct ss_judgement *why)
{
    atomic_store_explicit(&broken, false, memory_order_relaxed);
    *watch = (struct watch){.fd = fd};
    int r = take_lease(watch);
    return judged(r < 0 ? r : note_times(watch), why);
}

const _Atomic bool *watch_stop(void)
{
    return &broken;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
    const struct ss_stamp left = ss_stamp_of_content(a), right = ss_stamp_of_content(b);

    return ss_stamp_equal(&left, &right);
}

static bool same_times(const struct stat *a, const struct stat *b)
{
    const struct ss_stamp left = ss_stamp_of(a), right = ss_stamp_of(b);

    return ss_stamp_equal(&left, &right) && same_content(a, b);
}

static bool is_quiet(const struct watch *watch)
{
    struct stat now;

    /* The signal may be on its way still; the lease itself tells at once. */
    if (watch->leased && (atomic_load(&broken) || fcntl(watch->fd, F_GETLEASE) != F_RDLCK))
        return false;
    return fstat(watch->fd, &now) == 0 && same_times(&watch->before, &now);
}

bool watch_is_quiet(const struct watch *watch, struct ss_judgement *why)
{
    bool quiet = is_quiet(watch);

    if (!quiet)
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
    return quiet;
}

bool watch_has_same_content(const struct watch *watch, int fd, struct ss_judgement *why)
{
    struct stat now;

    bool same = fstat(fd, &now) == 0 && now.st_dev == watch->before.st_dev && now.st_ino == watch->before.st_ino &&
                same_content(&watch->before, &now);
    if (!same)
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
    return same;
}

void watch_end(struct watch *watch)
{
    if (watch->leased)
        fcntl(watch->fd, F_SETLEASE, F_UNLCK);
    watch->leased = false;
}
