#include "party.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "save.h"
#include "verdict.h"

/* The heir is number 0. */
static struct ss_party *party_at(struct ss_save *save, uint32_t i)
{
    return i == 0 ? &save->parties.heir : &save->parties.list[i - 1];
}

static bool lives(const struct ss_party *party)
{
    struct pollfd poller = {.fd = party->pidfd, .events = POLLIN};
    return party->pid != 0 && poll(&poller, 1, 0) == 0;
}

/* With state held. A number alone proves nothing: its process may have ended, and another have it now. */
static bool is_known(struct ss_save *save, pid_t pid, bool as_heir)
{
    bool known = false;

    for (uint32_t i = as_heir ? 0 : 1; i <= (as_heir ? 0 : SS_PARTIES_MAX); i++)
        known |= party_at(save, i)->pid == pid && lives(party_at(save, i));
    return known;
}

/* With state held: takes the party away; its descriptor is the caller's to close. */
static int take_away(struct ss_party *party)
{
    int fd = party->pid ? party->pidfd : -1;

    atomic_store(&party->pid, 0);
    party->pidfd = -1;
    return fd;
}

/* Returns what is to be closed: the former heir's descriptor or, when there is no room, pidfd itself. */
static int add(struct ss_save *save, pid_t pid, int pidfd, bool is_heir)
{
    uint32_t i = 0;
    int rest = pidfd;

    pthread_mutex_lock(&save->state);
    if (!is_heir)
        for (i = 1; i <= SS_PARTIES_MAX && party_at(save, i)->pid != 0;)
            i++;
    if (i <= SS_PARTIES_MAX) {
        rest = take_away(party_at(save, i));
        party_at(save, i)->pidfd = pidfd;
        atomic_store(&party_at(save, i)->pid, pid);
    }
    pthread_mutex_unlock(&save->state);
    return rest;
}

static bool is_full(struct ss_save *save)
{
    bool full = true;

    pthread_mutex_lock(&save->state);
    for (uint32_t i = 0; i < SS_PARTIES_MAX; i++)
        full &= save->parties.list[i].pid != 0;
    pthread_mutex_unlock(&save->state);
    return full;
}

void ss_party_note(struct ss_fs *fs, struct ss_save *save, const struct ss_proc_close *how)
{
    if (fs->commit == SS_COMMIT_CLOSE)
        return;
    bool goes_on = how->finding == SS_CLEAN && !how->exiting && how->tgid > 0;
    bool is_heir = !ss_verdict_is_party(save, how->tgid);

    pthread_mutex_lock(&save->state);
    bool known = goes_on && is_known(save, how->tgid, is_heir);
    int heir = known && is_heir ? -1 : take_away(&save->parties.heir); /* he was not the last after all */
    pthread_mutex_unlock(&save->state);
    if (heir >= 0)
        close(heir);
    if (!goes_on || known)
        return;
    if (is_full(save))
        ss_party_judge(save, false);
    int pidfd = (int)syscall(SYS_pidfd_open, how->tgid, 0);
    if (pidfd >= 0)
        pidfd = add(save, how->tgid, pidfd, is_heir);
    if (pidfd >= 0)
        close(pidfd);
}

bool ss_party_any(const struct ss_save *save)
{
    bool any = save->parties.heir.pid != 0;

    for (uint32_t i = 0; i < SS_PARTIES_MAX; i++)
        any |= save->parties.list[i].pid != 0;
    return any;
}

/* Number i, with a descriptor of the caller's own: another FLUSH may take the party away meanwhile. */
static struct ss_party borrow(struct ss_save *save, uint32_t i)
{
    struct ss_party party = {.pidfd = -1};

    pthread_mutex_lock(&save->state);
    if (party_at(save, i)->pid)
        party = (struct ss_party){party_at(save, i)->pid, fcntl(party_at(save, i)->pidfd, F_DUPFD_CLOEXEC, 0)};
    pthread_mutex_unlock(&save->state);
    return party;
}

/* Number i, which was found to be pid, has ended or is about to. */
static void note_end(struct ss_save *save, uint32_t i, pid_t pid, const struct ss_proc_close *how, bool ended)
{
    int fd = -1;

    pthread_mutex_lock(&save->state);
    if (party_at(save, i)->pid == pid) {
        /* What nobody remembers is believed: only an older kernel, and a parent that was quicker, make it so. */
        if (how->finding == SS_WRITER_KILLED || how->finding == SS_WRITER_EXITED)
            ss_verdict_note_end(save, how->finding, how->number);
        if (ended)
            fd = take_away(party_at(save, i));
    }
    pthread_mutex_unlock(&save->state);
    if (fd >= 0)
        close(fd);
}

/* Has it ended? *how: how, as far as that is known by now. A big process takes long from its signal to its end. */
static bool look(const struct ss_party *party, bool final, struct ss_proc_close *how)
{
    if (ss_proc_ended(party->pidfd, party->pid, how) > 0)
        return true;
    if (final)
        ss_proc_closing(party->pid, how);
    /* If it is gone by now, the number may have been another's already. */
    return final && ss_proc_ended(party->pidfd, party->pid, how) > 0;
}

uint32_t ss_party_judge(struct ss_save *save, bool final)
{
    struct ss_proc_close how;
    uint32_t living = 0;

    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++) {
        struct ss_party party = borrow(save, i);
        how = (struct ss_proc_close){.finding = SS_CLEAN};
        if (party.pid == 0)
            continue;
        bool ended = party.pidfd >= 0 && look(&party, final, &how);
        note_end(save, i, party.pid, &how, ended);
        living += !ended;
        if (party.pidfd >= 0)
            close(party.pidfd);
    }
    return living;
}

bool ss_party_is_busy(struct ss_save *save)
{
    bool busy = false;

    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++) {
        struct ss_party party = borrow(save, i);
        if (party.pid && party.pidfd >= 0 && !busy)
            busy = ss_proc_is_busy(party.pid);
        if (party.pidfd >= 0)
            close(party.pidfd);
    }
    return busy;
}

void ss_party_watch(struct ss_save *save, int epoll, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = data};

    pthread_mutex_lock(&save->state);
    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++) {
        const struct ss_party *party = party_at(save, i);
        if (party->pid && epoll_ctl(epoll, EPOLL_CTL_ADD, party->pidfd, &event) < 0 && errno == EEXIST)
            epoll_ctl(epoll, EPOLL_CTL_MOD, party->pidfd, &event);
    }
    pthread_mutex_unlock(&save->state);
}

void ss_party_unwatch(struct ss_save *save, int epoll)
{
    pthread_mutex_lock(&save->state);
    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++)
        if (party_at(save, i)->pid)
            epoll_ctl(epoll, EPOLL_CTL_DEL, party_at(save, i)->pidfd, NULL);
    pthread_mutex_unlock(&save->state);
}

void ss_party_each_fd(const struct ss_save *save, void (*visit)(void *context, int fd), void *context)
{
    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++) {
        const struct ss_party *party = i == 0 ? &save->parties.heir : &save->parties.list[i - 1];
        if (party->pid)
            visit(context, party->pidfd);
    }
}

void ss_party_close(struct ss_save *save)
{
    for (uint32_t i = 0; i <= SS_PARTIES_MAX; i++) {
        int fd = take_away(party_at(save, i));
        if (fd >= 0)
            close(fd);
    }
}
