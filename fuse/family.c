#include "family.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "core/proc.h"

#define GENERATIONS_MAX 64 /* how far up the line of parents is followed */

void ss_family_found(struct ss_family *family, pid_t tid)
{
    struct ss_proc_status status;

    *family = (struct ss_family){.pidfd = -1};
    if (ss_proc_status(tid, &status) < 0)
        return;
    family->pid = status.tgid;
    family->parent = status.ppid;
    family->pidfd = (int)syscall(SYS_pidfd_open, status.tgid, 0);
    /* One of its threads waits for our answer, so it is not inside execve, and these do not block. */
    ss_proc_start(status.tgid, &family->start);
    memcpy(family->name, status.name, sizeof family->name);
    if (ss_proc_exe(status.tgid, family->exe, sizeof family->exe) < 0)
        family->exe[0] = '\0';
}

void ss_family_close(struct ss_family *family)
{
    if (family->pidfd >= 0)
        close(family->pidfd);
    family->pidfd = -1;
}

bool ss_family_creator_lives(const struct ss_family *family)
{
    if (family->pidfd < 0)
        return family->pid > 0 && kill(family->pid, 0) == 0;
    struct pollfd poller = {.fd = family->pidfd, .events = POLLIN};
    return poll(&poller, 1, 0) == 0;
}

static bool descends_from(pid_t ancestor, struct ss_proc_status who)
{
    for (int i = 0; i < GENERATIONS_MAX && who.ppid > 0; i++) {
        if (who.ppid == ancestor)
            return true;
        if (ss_proc_status(who.ppid, &who) < 0)
            return false;
    }
    return false;
}

/* The parent that merely forked the creator: still its parent, and both run the same program. What the creator ran was
 * read when it began; that it has not changed since is seen by its name, because /proc/PID/exe of a task inside execve
 * blocks as stat does. */
static bool is_forking_parent(const struct ss_family *family, pid_t pid)
{
    struct ss_proc_status creator;
    char exe[PATH_MAX];

    return pid == family->parent && family->exe[0] && ss_proc_status(family->pid, &creator) == 0 &&
           creator.ppid == pid && strcmp(creator.name, family->name) == 0 && ss_proc_exe(pid, exe, sizeof exe) == 0 &&
           strcmp(exe, family->exe) == 0;
}

static bool is_saver(const struct ss_fs *fs, pid_t pid)
{
    char exe[PATH_MAX];

    if (!fs->savers[0] || ss_proc_exe(pid, exe, sizeof exe) < 0)
        return false;
    for (char *const *saver = fs->savers; *saver; saver++)
        if (strcmp(*saver, exe) == 0)
            return true;
    return false;
}

bool ss_family_includes(const struct ss_fs *fs, const struct ss_family *family, ino_t ino, pid_t tid)
{
    struct ss_proc_status who;

    if (ss_proc_status(tid, &who) < 0)
        return false;
    if (family->pid > 0 && ss_family_creator_lives(family) &&
        (who.tgid == family->pid || descends_from(family->pid, who) || is_forking_parent(family, who.tgid)))
        return true;
    dev_t device = atomic_load(&fs->shared->device);
    return is_saver(fs, who.tgid) || (ino && device && ss_proc_holds(who.tgid, device, ino));
}
