#include "ending.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "drafts.h"
#include "inside.h"
#include "judge.h"
#include "mappings.h"
#include "real.h"
#include "self.h"
#include "streams.h"

#define HEIRS_MS 50

static _Atomic bool missed;
static bool ending; /* nothing is postponed any more */

/* A child between fork and exec has copies of everything, and closes what is close-on-exec there without a word.
 * Returns what close() has to say. */
static int wait_for_heirs(struct ss_held *held)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int r = 0;

    for (int i = 0; i < HEIRS_MS && ss_drafts_forked_lately() && (r = ss_judge_left(held)) == -EAGAIN; i++)
        nanosleep(&pause, NULL);
    return r == -EAGAIN ? 0 : r;
}

int ss_ending_closed(struct ss_held *held, int error)
{
    int saved = errno;

    if (held->at_exit && held->owner == getpid() && !ending) {
        ss_judge_postpone(held, error);
        return error;
    }
    int judged = ss_judge_closed(held, error);
    if (error == 0 && judged == 0 && held->left) {
        held->mapped = ss_mappings_any(held);
        judged = wait_for_heirs(held);
    }
    errno = saved;
    return error < 0 ? error : judged;
}

void ss_ending_missed(void)
{
    atomic_store(&missed, true);
}

/* Descriptors that a signal handler closed while its thread was inside a hook. */
static void catch_up(void)
{
    unsigned next = 0;

    if (!atomic_exchange(&missed, false))
        return;
    for (int fd; (fd = ss_fd_next(next, SS_FDS_MAX - 1)) >= 0; next = (unsigned)fd + 1) {
        SS_AUTO_PUT struct ss_held *lost = ss_drafts_take_stale(fd);
        if (lost)
            ss_ending_closed(lost, 0);
    }
}

int ss_ending_close(int fd)
{
    SS_INSIDE;
    if (!ss_self_may_remember())
        return ss_real()->close(fd); /* a child of vfork: its parent still has it */
    SS_AUTO_PUT struct ss_held *held = ss_drafts_part(fd);
    if (!held)
        return ss_real()->close(fd);
    int r = ss_real()->close(fd) < 0 ? -errno : 0;
    r = ss_ending_closed(held, r);
    catch_up();
    if (r < 0)
        errno = -r;
    return r < 0 ? -1 : 0;
}

/* Calls visit for every draft of this process. Keeps errno. */
static void for_each(void (*visit)(struct ss_held *held, int status), int status)
{
    uint32_t index = 0;
    int saved = errno;

    for (struct ss_held *held; ss_drafts_any() && (held = ss_drafts_next(&index));) {
        visit(held, status);
        ss_drafts_put(held);
    }
    errno = saved;
}

static void close_mapped(struct ss_held *held, int status)
{
    (void)status;
    if (held->mapped && held->fds == 0)
        ss_ending_closed(held, 0);
}

void ss_ending_unmapped(void)
{
    for_each(close_mapped, 0);
}

static void look_at(struct ss_held *held, int status)
{
    if (held->unjudged && status != 0)
        ss_judge_exited(held, status); /* the program may have failed for that */
    else if (held->left && ss_judge_left(held) == -EAGAIN)
        atomic_store(&ss_judge_any_left, true);
}

void ss_ending_look(void)
{
    int saved = errno;

    catch_up();
    if (atomic_exchange(&ss_judge_any_left, false))
        for_each(look_at, 0);
    errno = saved;
}

void ss_ending_of_child(int status)
{
    for_each(ss_judge_child_ended, status);
}

static void end_postponed(struct ss_held *held, int status)
{
    if (held->postponed && status == 0)
        ss_judge_closed(held, 0);
    else if (held->postponed)
        ss_judge_exited(held, status);
}

static void end_mapped(struct ss_held *held, int status)
{
    (void)status;
    if (!held->mapped || held->fds > 0)
        return;
    ss_mappings_privatise(held);
    ss_judge_closed(held, 0);
}

/* Another thread is in close(), and would be ended there: it is waited for, by the draft's lock or before it took that.
 */
static void end_begun(struct ss_held *held, int status)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    (void)status;
    if (held->fds > 0 || held->postponed || held->mapped || held->left || held->unjudged)
        return;
    ss_judge_closed(held, 0);
    for (int i = 0; i < HEIRS_MS && held->left && ss_judge_left(held) == -EAGAIN; i++)
        nanosleep(&pause, NULL);
}

static void end_all(int status)
{
    unsigned next = 0;

    for (int fd; (fd = ss_fd_next(next, SS_FDS_MAX - 1)) >= 0; next = (unsigned)fd + 1) {
        SS_AUTO_PUT struct ss_held *held = ss_fd_is_hidden(fd) ? NULL : ss_drafts_of_fd(fd);
        if (!held)
            continue;
        if (status == 0) {
            ss_ending_close(fd);
            continue;
        }
        ss_drafts_unbind(fd);
        ss_real()->close(fd);
        ss_judge_exited(held, status);
    }
    if (status == 0)
        for_each(end_begun, status);
    for_each(end_postponed, status);
    if (status == 0)
        for_each(end_mapped, status);
    catch_up();
    for_each(look_at, status);
}

/* Inside: a signal handler ends the process; what it interrupted stays unpublished. */
static bool may_end(void)
{
    return ss_active && !ss_inside() && ss_drafts_any() && ss_self_may_remember();
}

void ss_ending_exit(int status)
{
    if (!may_end())
        return;
    SS_INSIDE;
    ending = true;
    end_all(status);
}

/* What is missing in a file must not be published. */
static void note_lost(int fd, int error)
{
    SS_AUTO_PUT struct ss_held *held = ss_drafts_of_fd(fd);

    if (held)
        ss_judge_failed(held, error);
}

/* The last of all exit handlers (self.c). The C library flushes streams after it; without exit() nobody does: a child's
 * copy of a buffer is not the child's to write. */
static void at_exit(int status, void *nothing)
{
    (void)nothing;
    if (may_end()) {
        SS_INSIDE;
        ss_streams_flush(note_lost);
    }
    ss_ending_exit(status & 0xff);
}

static int quick_status; /* of the one call of quick_exit that there can be */

void ss_ending_quickly(int status)
{
    quick_status = status;
}

static void at_quick_exit_end(void)
{
    ss_ending_exit(quick_status);
}

int ss_ending_init(void)
{
    return on_exit(at_exit, NULL) == 0 && at_quick_exit(at_quick_exit_end) == 0 ? 0 : -ENOMEM;
}
