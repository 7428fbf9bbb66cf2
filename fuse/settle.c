#include "settle.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "verdict.h"
#include "core/util.h"

#define EVENTS 64
#define PUT_OFF_MAX 10                   /* grace times */
#define FINISH_NS (SS_SECOND_NS / 10)    /* the longest grace time at the end of the session */
#define WAKE UINT64_MAX                  /* event data: not a save's index */
#define INTERRUPT_NS (SS_SECOND_NS / 20) /* how often a wait looks whether its request was interrupted */

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SS_SECOND_NS), .tv_nsec = (long)(ns % SS_SECOND_NS)};
}

static void wake(int event)
{
    if (event >= 0)
        eventfd_write(event, 1);
}

/* ---- the list: those that settle, in the order in which their time ends ---- */

/* With tables held: puts it into the list, or takes it out. */
static void link_in(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint32_t before = fs->settling_last;

    while (before != SS_NONE && ss_save_at(fs, before)->settle_until > save->settle_until)
        before = ss_save_at(fs, before)->settle_previous;
    uint32_t next = before == SS_NONE ? fs->settling : ss_save_at(fs, before)->settle_next;
    save->settle_previous = before;
    save->settle_next = next;
    *(before == SS_NONE ? &fs->settling : &ss_save_at(fs, before)->settle_next) = index;
    *(next == SS_NONE ? &fs->settling_last : &ss_save_at(fs, next)->settle_previous) = index;
}

static void link_out(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint32_t before = save->settle_previous, next = save->settle_next;

    *(before == SS_NONE ? &fs->settling : &ss_save_at(fs, before)->settle_next) = next;
    *(next == SS_NONE ? &fs->settling_last : &ss_save_at(fs, next)->settle_previous) = before;
}

/* With tables held. A reference goes with it. */
static void enlist(struct ss_fs *fs, uint32_t index)
{
    link_in(fs, index);
    ss_save_at(fs, index)->settle_listed = true;
    atomic_fetch_add(&fs->settling_count, 1);
}

static void delist(struct ss_fs *fs, uint32_t index)
{
    link_out(fs, index);
    ss_save_at(fs, index)->settle_listed = false;
    atomic_fetch_sub(&fs->settling_count, 1);
    ss_save_unref(fs, index);
}

/* With tables held. */
static bool is_waiting(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool waiting = save->settle == SS_SETTLE_WAITING;
    pthread_mutex_unlock(&save->state);
    return waiting;
}

/* With tables held: the next one to decide, or SS_NONE. Those before it are being concluded. */
static uint32_t first_waiting(struct ss_fs *fs)
{
    uint32_t index = fs->settling;

    while (index != SS_NONE && !is_waiting(ss_save_at(fs, index)))
        index = ss_save_at(fs, index)->settle_next;
    return index;
}

/* ---- what becomes of one save ---- */

bool ss_settle_begin(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    pthread_mutex_lock(&save->state);
    bool settles = save->settle == SS_SETTLE_WAITING;
    bool begins = save->settle == SS_SETTLE_NO && fs->commit != SS_COMMIT_CLOSE && !ss_verdict_is_committed(save) &&
                  ss_party_any(save);
    if (begins) {
        save->settle_since = ss_now_ns();
        save->settle_first = save->settle_first ? save->settle_first : save->settle_since;
        save->settle_until = fs->commit == SS_COMMIT_EXIT ? UINT64_MAX : save->settle_since + fs->grace_ns;
        atomic_store(&save->settle, SS_SETTLE_WAITING);
    }
    pthread_mutex_unlock(&save->state);
    if (!begins)
        return settles;

    pthread_mutex_lock(&fs->tables);
    ss_save_ref(fs, index);
    enlist(fs, index);
    bool first = fs->settling == index;
    pthread_mutex_unlock(&fs->tables);
    ss_party_watch(save, fs->settle_epoll, index);
    if (first)
        wake(fs->settle_event); /* it waits for a later end, or none */
    return true;
}

static void stop_settling(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_party_unwatch(save, fs->settle_epoll);
    pthread_mutex_lock(&fs->tables);
    pthread_mutex_lock(&save->state);
    save->settle = SS_SETTLE_NO;
    pthread_cond_broadcast(&save->idle);
    pthread_mutex_unlock(&save->state);
    if (save->settle_listed)
        delist(fs, index); /* not the last reference: the caller has one */
    pthread_mutex_unlock(&fs->tables);
}

static enum ss_settle settle_of(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    enum ss_settle settle = save->settle;
    pthread_mutex_unlock(&save->state);
    return settle;
}

void ss_settle_cancel(struct ss_fs *fs, uint32_t index)
{
    if (settle_of(ss_save_at(fs, index)) != SS_SETTLE_NO)
        stop_settling(fs, index);
}

void ss_settle_end(struct ss_fs *fs, uint32_t index)
{
    if (settle_of(ss_save_at(fs, index)) == SS_SETTLE_OVER)
        stop_settling(fs, index);
}

static bool is_spoilt(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool spoilt = save->verdict != SS_CLEAN;
    pthread_mutex_unlock(&save->state);
    return spoilt;
}

enum look {
    LOOK_ENDED, /* one of its parties has */
    LOOK_LATE,  /* the grace time is over */
    LOOK_FINAL, /* it is to be decided now */
};

/* Whose time is over while he is at work may only have had no turn yet, or much to take down: he gets more of it. */
static bool put_off(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint64_t now = ss_now_ns();

    if (now - save->settle_since >= PUT_OFF_MAX * fs->grace_ns || !ss_party_is_busy(save))
        return false;
    pthread_mutex_lock(&fs->tables);
    link_out(fs, index);
    pthread_mutex_lock(&save->state);
    save->settle_until = now + fs->grace_ns;
    pthread_mutex_unlock(&save->state);
    link_in(fs, index);
    pthread_mutex_unlock(&fs->tables);
    return true;
}

/* Claimed: is it decided? */
static bool decides(struct ss_fs *fs, uint32_t index, enum look look)
{
    struct ss_save *save = ss_save_at(fs, index);

    if (!is_waiting(save))
        return false; /* it was continued */
    if (ss_party_judge(save, false) == 0 || is_spoilt(save))
        return true;
    if (look == LOOK_ENDED || (look == LOOK_LATE && put_off(fs, index)))
        return false;
    ss_party_judge(save, true);
    return true;
}

static void look_at(struct ss_fs *fs, uint32_t index, enum look look)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_save_claim(save);
    if (!decides(fs, index, look)) {
        ss_save_yield(save);
        return;
    }
    pthread_mutex_lock(&save->state);
    save->settle = SS_SETTLE_OVER;
    pthread_mutex_unlock(&save->state);
    ss_judge_settled(fs, index);
}

void ss_settle_before_reopen(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    pthread_mutex_lock(&save->state);
    bool late = fs->commit == SS_COMMIT_SETTLE && save->settle == SS_SETTLE_WAITING &&
                (save->settle_waits > 0 || ss_now_ns() - save->settle_first > PUT_OFF_MAX * fs->grace_ns);
    pthread_mutex_unlock(&save->state);
    if (late) {
        look_at(fs, index, LOOK_FINAL);
        wake(fs->chores_event);
    }
}

/* ---- the threads ---- */

static bool is_stopping(struct ss_fs *fs)
{
    return atomic_load(&fs->settle_stopping);
}

/* When the next grace time ends; UINT64_MAX: never. */
static uint64_t next_end(struct ss_fs *fs)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t first = first_waiting(fs);
    uint64_t until = first == SS_NONE ? UINT64_MAX : ss_save_at(fs, first)->settle_until;
    pthread_mutex_unlock(&fs->tables);
    return until;
}

/* Decides all whose time is over. */
static void look_at_late(struct ss_fs *fs)
{
    for (;;) {
        uint64_t now = ss_now_ns();
        pthread_mutex_lock(&fs->tables);
        uint32_t index = first_waiting(fs);
        bool late = index != SS_NONE && ss_save_at(fs, index)->settle_until <= now;
        if (late)
            ss_save_ref(fs, index);
        pthread_mutex_unlock(&fs->tables);
        if (!late)
            return;
        look_at(fs, index, LOOK_LATE);
        ss_save_release(fs, index);
        wake(fs->chores_event);
    }
}

/* A party of save number `index`, or of one that had this number before, has ended. */
static void look_at_ended(struct ss_fs *fs, uint32_t index)
{
    pthread_mutex_lock(&fs->tables);
    bool settles = ss_save_at(fs, index)->settle_listed && is_waiting(ss_save_at(fs, index));
    if (settles)
        ss_save_ref(fs, index);
    pthread_mutex_unlock(&fs->tables);
    if (!settles)
        return;
    look_at(fs, index, LOOK_ENDED);
    ss_save_release(fs, index);
    wake(fs->chores_event);
}

/* Waits until something is to be decided, and decides it. */
static void decide_some(struct ss_fs *fs)
{
    struct epoll_event events[EVENTS];
    uint64_t end = next_end(fs), now = ss_now_ns();
    eventfd_t count;

    struct timespec left = to_timespec(end > now ? end - now : 0);
    int n = epoll_pwait2(fs->settle_epoll, events, EVENTS, end == UINT64_MAX ? NULL : &left, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == WAKE)
            eventfd_read(fs->settle_event, &count);
        else
            look_at_ended(fs, (uint32_t)events[i].data.u64);
    }
    look_at_late(fs);
}

static void *decide(void *context)
{
    struct ss_fs *fs = context;

    while (!is_stopping(fs))
        decide_some(fs);
    return NULL;
}

/* What the decisions left to do, which waits for the disk: nobody who decides waits for it. */
static void *do_chores(void *context)
{
    struct ss_fs *fs = context;
    eventfd_t count;

    while (!is_stopping(fs) && eventfd_read(fs->chores_event, &count) == 0) {
        while (ss_judge_deferred(fs))
            continue;
        ss_fs_close_pending(fs);
    }
    return NULL;
}

/* The list as the records say. A save that was being concluded by a process that is gone is decided again. */
static void take_up(struct ss_fs *fs)
{
    fs->settling = fs->settling_last = SS_NONE;
    atomic_store(&fs->settling_count, 0);
    for (uint32_t i = 0; i < *fs->saves.used; i++) {
        struct ss_save *save = ss_save_at(fs, i);
        if (!save->in_use || !save->linked || save->settle == SS_SETTLE_NO)
            continue;
        save->settle = SS_SETTLE_WAITING;
        if (!save->settle_listed)
            ss_save_ref(fs, i);
        enlist(fs, i);
        ss_party_watch(save, fs->settle_epoll, i);
    }
}

int ss_settle_start(struct ss_fs *fs)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};

    fs->settle_epoll = epoll_create1(EPOLL_CLOEXEC);
    fs->settle_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fs->chores_event = eventfd(0, EFD_CLOEXEC);
    if (fs->settle_epoll < 0 || fs->settle_event < 0 || fs->chores_event < 0 ||
        epoll_ctl(fs->settle_epoll, EPOLL_CTL_ADD, fs->settle_event, &event) < 0)
        return -errno;
    pthread_mutex_lock(&fs->tables);
    take_up(fs);
    pthread_mutex_unlock(&fs->tables);
    int r = -pthread_create(&fs->settle_thread, NULL, decide, fs);
    if (r == 0)
        r = -pthread_create(&fs->chores_thread, NULL, do_chores, fs);
    return r;
}

void ss_settle_stop(struct ss_fs *fs)
{
    atomic_store(&fs->settle_stopping, true);
    wake(fs->settle_event);
    wake(fs->chores_event);
    pthread_join(fs->settle_thread, NULL);
    pthread_join(fs->chores_thread, NULL);
}

/* Whose time would end later than a grace time from now has a new one, as if it had just been closed. Returns whether
 * anything is left to decide. */
static bool shorten(struct ss_fs *fs)
{
    pthread_mutex_lock(&fs->tables);
    uint64_t now = ss_now_ns();
    for (uint32_t i = fs->settling; i != SS_NONE; i = ss_save_at(fs, i)->settle_next) {
        struct ss_save *save = ss_save_at(fs, i);
        pthread_mutex_lock(&save->state);
        if (save->settle_until > now + fs->grace_ns) {
            save->settle_since = now;
            save->settle_until = now + fs->grace_ns; /* those behind it in the list are later: it stays in order */
        }
        pthread_mutex_unlock(&save->state);
    }
    bool any = first_waiting(fs) != SS_NONE;
    pthread_mutex_unlock(&fs->tables);
    return any;
}

/* The last close may have been what ended the session, so that its writer has had no time yet. What is slow comes last:
 * kernels before 6.15 do not remember for long how a process ended. */
void ss_settle_finish(struct ss_fs *fs)
{
    if (fs->grace_ns > FINISH_NS)
        fs->grace_ns = FINISH_NS;
    do {
        while (shorten(fs))
            decide_some(fs);
    } while (ss_judge_deferred(fs));
    close(fs->settle_epoll);
    close(fs->settle_event);
    close(fs->chores_event);
}

/* ---- waiting ---- */

static bool nobody_waits(struct ss_fs *fs)
{
    return fs->commit != SS_COMMIT_SETTLE || atomic_load(&fs->settling_count) == 0;
}

static void count_wait(struct ss_save *save, int change)
{
    pthread_mutex_lock(&save->state);
    save->settle_waits += (uint32_t)change;
    pthread_mutex_unlock(&save->state);
}

/* Waits until the save no longer settles as it does since `since`. Drops the caller's reference. */
static int wait_for(struct ss_fs *fs, fuse_req_t req, uint32_t index, uint64_t since)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint64_t patience = ss_now_ns() + SS_SECOND_NS;
    bool settles = true, interrupted = false;

    count_wait(save, 1);
    while (settles && !interrupted) {
        struct timespec until = to_timespec(ss_now_ns() + INTERRUPT_NS);
        int r = 0;
        pthread_mutex_lock(&save->state);
        while ((settles = save->settle != SS_SETTLE_NO && save->settle_since == since) && r == 0)
            r = pthread_cond_clockwait(&save->idle, &save->state, CLOCK_MONOTONIC, &until);
        pthread_mutex_unlock(&save->state);
        /* Any signal interrupts, and no program expects EINTR of these calls; who was killed can wait for a moment. */
        interrupted = fuse_req_interrupted(req) && ss_now_ns() > patience;
    }
    count_wait(save, -1);
    ss_save_release(fs, index);
    return settles ? -EINTR : 0;
}

static uint64_t since_of(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    uint64_t since = save->settle_since;
    pthread_mutex_unlock(&save->state);
    return since;
}

/* Nobody waits for who lives. But what has ended is seen by whoever comes after it, though our own thread may not have
 * had a turn since. */
static int wait_for_ended(struct ss_fs *fs, fuse_req_t req, uint32_t dir, const char *name)
{
    uint32_t index = ss_save_find_settling(fs, dir, name, ss_now_ns());

    if (index == SS_NONE)
        return 0;
    struct ss_save *save = ss_save_at(fs, index);
    uint64_t since = since_of(save);
    look_at(fs, index, LOOK_ENDED);
    wake(fs->chores_event);
    pthread_mutex_lock(&save->state);
    bool decided = save->settle == SS_SETTLE_OVER;
    pthread_mutex_unlock(&save->state);
    if (decided)
        return wait_for(fs, req, index, since);
    ss_save_release(fs, index);
    return 0;
}

int ss_settle_wait_name(struct ss_fs *fs, fuse_req_t req, uint32_t dir, const char *name, pid_t tid)
{
    uint64_t before = ss_now_ns();
    uint32_t index;
    int r = 0;

    if (fs->commit == SS_COMMIT_EXIT && atomic_load(&fs->settling_count) > 0)
        return wait_for_ended(fs, req, dir, name);
    if (nobody_waits(fs))
        return 0;
    while (r == 0 && (index = ss_save_find_settling(fs, dir, name, before)) != SS_NONE) {
        struct ss_save *save = ss_save_at(fs, index);
        uint64_t since = since_of(save);
        if (tid > 0 && ss_save_visible_to(fs, save, tid)) {
            ss_save_release(fs, index);
            break;
        }
        if (since <= before)
            r = wait_for(fs, req, index, since);
        else
            ss_save_release(fs, index); /* it was continued, and settles again */
    }
    return r;
}

/* A save in dir that settles, and began to at *since, not after `before`; with a reference. */
static uint32_t any_in_dir(struct ss_fs *fs, uint32_t dir, uint64_t *since, uint64_t before)
{
    uint32_t index;

    pthread_mutex_lock(&fs->tables);
    for (index = fs->settling; index != SS_NONE; index = ss_save_at(fs, index)->settle_next) {
        struct ss_save *save = ss_save_at(fs, index);
        *since = since_of(save);
        if (ss_save_where(save)->dir == dir && *since <= before)
            break;
    }
    if (index != SS_NONE)
        ss_save_ref(fs, index);
    pthread_mutex_unlock(&fs->tables);
    return index;
}

int ss_settle_wait_dir(struct ss_fs *fs, fuse_req_t req, uint32_t dir)
{
    uint64_t before = ss_now_ns(), since;
    uint32_t index;
    int r = 0;

    if (nobody_waits(fs))
        return 0;
    while (r == 0 && (index = any_in_dir(fs, dir, &since, before)) != SS_NONE)
        r = wait_for(fs, req, index, since);
    return r;
}

int ss_settle_wait_save(struct ss_fs *fs, fuse_req_t req, uint32_t index)
{
    if (nobody_waits(fs) || settle_of(ss_save_at(fs, index)) == SS_SETTLE_NO)
        return 0;
    pthread_mutex_lock(&fs->tables);
    ss_save_ref(fs, index);
    pthread_mutex_unlock(&fs->tables);
    return wait_for(fs, req, index, since_of(ss_save_at(fs, index)));
}
