#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actions.h"
#include "begin.h"
#include "inside.h"
#include "real.h"
#include "self.h"
#include "core/compat.h"
#include "core/program.h"
#include "core/util.h"

#ifndef POSIX_SPAWN_SETCGROUP /* glibc 2.39 */
#define POSIX_SPAWN_SETCGROUP 0x100
#endif
#define KNOWN_FLAGS                                                                                                    \
    (POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |                   \
     POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_USEVFORK | POSIX_SPAWN_SETSID |                \
     POSIX_SPAWN_SETCGROUP)

/* A pipe that exec closes in the child: what it writes before is its error. */
struct telling {
    int ends[2];
    int error; /* of making it, or 0 */
};

static _Thread_local struct telling *telling __attribute__((tls_model("initial-exec"))); /* while this thread forks */

bool ss_spawn_concerns(const posix_spawn_file_actions_t *actions)
{
    bool elsewhere = false; /* in a directory that is not known yet */
    size_t count = 0;

    const struct ss_action *action =
        actions && actions->__used > 0 && ss_actions_are_known() ? ss_actions_of(actions, &count) : NULL;
    for (; count > 0; count--, action++) {
        elsewhere |= action->kind == SS_ACTION_CHDIR || action->kind == SS_ACTION_FCHDIR;
        if (action->kind != SS_ACTION_OPEN || ss_begin_is_plain(action->open.path, action->open.flags))
            continue;
        if ((elsewhere && action->open.path[0] != '/') || ss_begin_concerns(action->open.path))
            return true;
    }
    return false;
}

/* --- around fork --- */

static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    for (int i = 0; i < 2; i++) {
        int hidden = ss_self_hide_fd(ends[i]); /* where actions do not look for theirs */
        if (hidden < 0) {
            if (i == 0)
                close(ends[1]);
            else
                close(ends[0]);
            return -hidden;
        }
        ends[i] = hidden;
    }
    return 0;
}

void ss_spawn_before_fork(void)
{
    if (telling)
        telling->error = make_pipe(telling->ends);
}

void ss_spawn_after_fork(void)
{
    if (telling && telling->error == 0)
        close(telling->ends[1]);
}

void ss_spawn_in_child(void)
{
    if (telling && telling->error == 0)
        close(telling->ends[0]);
}

/* --- in the child: each step returns 0 or -1 and errno --- */

/* What this process has handlers for is as after exec: they must not run in the child. */
static void reset_signals(const sigset_t *to_default)
{
    struct sigaction now, plain = {.sa_handler = SIG_DFL};

    for (int i = 1; i < _NSIG; i++) {
        bool asked = to_default && sigismember(to_default, i) == 1;
        if (!asked && (sigaction(i, NULL, &now) < 0 || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN))
            continue;
        sigaction(i, &plain, NULL);
    }
}

static int set_scheduler(const posix_spawnattr_t *attributes, short flags)
{
    struct sched_param parameter;
    int policy;

    if (!(flags & (POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER)))
        return 0;
    posix_spawnattr_getschedparam(attributes, &parameter);
    posix_spawnattr_getschedpolicy(attributes, &policy);
    if (flags & POSIX_SPAWN_SETSCHEDULER)
        return sched_setscheduler(0, policy, &parameter);
    return sched_setparam(0, &parameter);
}

static int join_cgroup(const posix_spawnattr_t *attributes)
{
    int fd;

    SS_INSIDE;
    if (!ss_real()->posix_spawnattr_getcgroup_np || ss_real()->posix_spawnattr_getcgroup_np(attributes, &fd) != 0) {
        errno = ENOTSUP;
        return -1;
    }
    SS_AUTO_CLOSE int processes = ss_real()->openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return processes < 0 || write(processes, "0", 1) < 0 ? -1 : 0;
}

static int set_attributes(const posix_spawnattr_t *attributes, short flags)
{
    sigset_t set;
    pid_t group;

    if (flags & POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_getsigdefault(attributes, &set);
    reset_signals(flags & POSIX_SPAWN_SETSIGDEF ? &set : NULL);
    if ((flags & POSIX_SPAWN_SETCGROUP) && join_cgroup(attributes) < 0)
        return -1;
    if (set_scheduler(attributes, flags) < 0 || ((flags & POSIX_SPAWN_SETSID) && setsid() < 0))
        return -1;
    if ((flags & POSIX_SPAWN_SETPGROUP) &&
        (posix_spawnattr_getpgroup(attributes, &group) != 0 || setpgid(0, group) < 0))
        return -1;
    return (flags & POSIX_SPAWN_RESETIDS) && (seteuid(getuid()) < 0 || setegid(getgid()) < 0) ? -1 : 0;
}

/* One that is not open is not minded, one that could not be is. */
static int close_one(int fd)
{
    struct rlimit limit;

    if (SS_HOOK(close(fd)) == 0)
        return 0;
    if (fd >= 0 && (getrlimit(RLIMIT_NOFILE, &limit) < 0 || (rlim_t)fd < limit.rlim_cur))
        return 0;
    errno = EBADF;
    return -1;
}

static int open_as(int fd, const char *path, int flags, mode_t mode)
{
    SS_HOOK(close(fd));
    int made = SS_HOOK(open(path, flags, mode));
    if (made < 0 || made == fd)
        return made < 0 ? -1 : 0;
    int r = SS_HOOK(dup2(made, fd));
    int error = errno;
    SS_HOOK(close(made));
    errno = error;
    return r < 0 ? -1 : 0;
}

static int duplicate(int fd, int to, int tell)
{
    if (fd == tell) { /* not the program's */
        errno = EBADF;
        return -1;
    }
    if (fd != to)
        return SS_HOOK(dup2(fd, to)) < 0 ? -1 : 0;
    int now = ss_real()->fcntl(fd, F_GETFD);
    return now < 0 ? -1 : ss_real()->fcntl(fd, F_SETFD, now & ~FD_CLOEXEC);
}

static void close_range_of(unsigned first, unsigned last)
{
    struct rlimit limit;

    if (first > last || SS_HOOK(close_range(first, last, 0)) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    for (rlim_t fd = first; fd <= last && fd < limit.rlim_cur && fd <= INT_MAX; fd++)
        SS_HOOK(close((int)fd)); /* before Linux 5.9 */
}

static int close_from(int first, int tell)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;

    if (tell > 0 && from < (unsigned)tell)
        close_range_of(from, (unsigned)tell - 1);
    close_range_of(from > (unsigned)tell ? from : (unsigned)tell + 1, ~0U);
    return 0;
}

/* The descriptor that the action takes the place of, or -1. */
static int target_of(const struct ss_action *action)
{
    switch (action->kind) {
    case SS_ACTION_CLOSE:
        return action->fd;
    case SS_ACTION_DUP2:
        return action->dup2.to;
    case SS_ACTION_OPEN:
        return action->open.fd;
    default:
        return -1;
    }
}

static int act(const struct ss_action *action, int *tell)
{
    if (target_of(action) == *tell) {
        int moved = ss_real()->fcntl(*tell, F_DUPFD_CLOEXEC, *tell + 1);
        if (moved < 0)
            return -1;
        ss_real()->close(*tell);
        *tell = moved;
    }
    switch (action->kind) {
    case SS_ACTION_CLOSE:
        return close_one(action->fd);
    case SS_ACTION_DUP2:
        return duplicate(action->dup2.fd, action->dup2.to, *tell);
    case SS_ACTION_OPEN:
        return open_as(action->open.fd, action->open.path, action->open.flags, action->open.mode);
    case SS_ACTION_CHDIR:
        return chdir(action->directory);
    case SS_ACTION_FCHDIR:
        return fchdir(action->fd);
    case SS_ACTION_CLOSEFROM:
        return close_from(action->fd, *tell);
    case SS_ACTION_TCSETPGRP:
        return tcsetpgrp(action->fd, getpgrp());
    default:
        errno = ENOTSUP;
        return -1;
    }
}

/* Returns if it fails. */
static void execute(const struct ss_spawn *spawn)
{
    char found[PATH_MAX];
    const char *program = spawn->program;

    if (spawn->by_path) {
        SS_INSIDE;
        int r = ss_program_find(spawn->program, found);
        program = r < 0 ? NULL : found;
        errno = -r;
    }
    if (program)
        SS_HOOK(execve(program, spawn->arguments, spawn->environment));
}

static _Noreturn void be_child(const struct ss_spawn *spawn, short flags, const sigset_t *mask, int tell)
{
    size_t count;
    const struct ss_action *action = ss_actions_of(spawn->actions, &count);

    int r = set_attributes(spawn->attributes, flags);
    for (; r == 0 && count > 0; count--, action++)
        r = act(action, &tell);
    if (r == 0) {
        sigset_t wanted = *mask;
        if (flags & POSIX_SPAWN_SETSIGMASK)
            posix_spawnattr_getsigmask(spawn->attributes, &wanted);
        pthread_sigmask(SIG_SETMASK, &wanted, NULL);
        execute(spawn);
    }
    int error = errno ? errno : ECHILD;
    if (write(tell, &error, sizeof error) != sizeof error)
        ss_self_complain("%s: could not be started: %s", spawn->program, strerrordesc_np(error));
    SS_HOOK(_exit(127)); /* what it opened for the program is not published */
    __builtin_unreachable();
}

/* --- in the parent --- */

/* Waits until the child has called exec, or has ended. Returns its error or 0. */
static int hear(int fd)
{
    int error = 0;
    ssize_t n;

    do
        n = read(fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == sizeof error ? error : 0;
}

/* With all signals blocked. */
static int run(pid_t *pid, const struct ss_spawn *spawn, short flags, const sigset_t *mask)
{
    struct telling here = {{-1, -1}, 0};

    telling = &here;
    pid_t child = fork();
    int error = child < 0 ? errno : here.error;
    telling = NULL;
    if (child == 0 && error == 0)
        be_child(spawn, flags, mask, here.ends[1]);
    if (child == 0)
        ss_real()->_exit(127);
    if (error == 0)
        error = hear(here.ends[0]);
    if (here.error == 0)
        ss_real()->close(here.ends[0]);
    if (child > 0 && error != 0)
        while (ss_real()->waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    else if (pid && error == 0)
        *pid = child;
    return error;
}

static bool can_be_run(const posix_spawn_file_actions_t *actions, short flags)
{
    size_t count;
    const struct ss_action *action = ss_actions_of(actions, &count);

    for (; count > 0; count--, action++)
        if (action->kind >= SS_ACTION_KINDS)
            return false;
    return !(flags & ~KNOWN_FLAGS);
}

int ss_spawn_run(pid_t *pid, const struct ss_spawn *spawn)
{
    sigset_t all, before;
    short flags = 0;
    int cancel;
    int saved = errno;

    if (spawn->attributes)
        posix_spawnattr_getflags(spawn->attributes, &flags);
    if (!can_be_run(spawn->actions, flags))
        return ENOTSUP;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = run(pid, spawn, flags, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
    return error;
}
