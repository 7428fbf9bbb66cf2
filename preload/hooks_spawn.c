/* posix_spawn. The C library makes the child by itself, and opens what its file actions name there, without a call that
 * could be hooked: so where that is protected, it is done here (spawning.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "actions.h"
#include "begin.h"
#include "child.h"
#include "drafts.h"
#include "inside.h"
#include "real.h"
#include "self.h"
#include "spawning.h"
#include "core/compat.h"

typedef int real_spawn(pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]);

/* Only in a C library whose list of actions can not be read has this something to do. */
SS_EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd, const char *path, int flags,
                                               mode_t mode)
{
    if (!ss_begin_is_plain(path, flags) && !ss_actions_are_known() && ss_begin_concerns(path)) {
        SS_INSIDE;
        ss_self_report("%s: posix_spawn of this C library can not be made to protect it", path);
        return ENOTSUP;
    }
    return ss_real()->posix_spawn_file_actions_addopen(actions, fd, path, flags, mode);
}

/* As fork does, of which the C library tells: this it does without a word. */
static void before(const char *program, bool by_path, char *const environment[])
{
    ss_child_starts(program, by_path, environment);
    if (!ss_active || ss_inside() || !ss_drafts_any() || !ss_self_may_remember())
        return;
    SS_INSIDE;
    ss_drafts_lock();
    ss_drafts_before_fork();
    ss_drafts_unlock();
}

static int start(pid_t *pid, const struct ss_spawn *spawn, real_spawn *real)
{
    if (ss_active && !ss_inside() && ss_spawn_concerns(spawn->actions))
        return ss_spawn_run(pid, spawn);
    before(spawn->program, spawn->by_path, spawn->environment);
    return real(pid, spawn->program, spawn->actions, spawn->attributes, spawn->arguments, spawn->environment);
}

/* With a descriptor of the child, which nobody but this process can have waited for by now. */
static int start_with_fd(int *pidfd, const struct ss_spawn *spawn, real_spawn *real)
{
    pid_t pid;

    int error = start(&pid, spawn, real);
    if (error != 0)
        return error;
    int fd = (int)ss_real()->syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        *pidfd = fd;
        return 0;
    }
    error = errno; /* no descriptor is free */
    kill(pid, SIGKILL);
    while (ss_real()->waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return error;
}

#define SPAWN(name, searches)                                                                                          \
    SS_EXPORT int name(pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,                     \
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])        \
    {                                                                                                                  \
        const struct ss_spawn spawn = {program, searches, actions, attributes, arguments, environment};                \
        return start(pid, &spawn, ss_real()->name);                                                                    \
    }

SPAWN(posix_spawn, false)
SPAWN(posix_spawnp, true)

/* Of glibc 2.39. */
#define SPAWN_WITH_FD(name, searches, substitute)                                                                      \
    SS_EXPORT int name(int *pidfd, const char *program, const posix_spawn_file_actions_t *actions,                     \
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])        \
    {                                                                                                                  \
        const struct ss_spawn spawn = {program, searches, actions, attributes, arguments, environment};                \
        if (!ss_real()->name || (ss_active && !ss_inside() && ss_spawn_concerns(actions)))                             \
            return start_with_fd(pidfd, &spawn, ss_real()->substitute);                                                \
        before(program, searches, environment);                                                                        \
        return ss_real()->name(pidfd, program, actions, attributes, arguments, environment);                           \
    }

SPAWN_WITH_FD(pidfd_spawn, false, posix_spawn)
SPAWN_WITH_FD(pidfd_spawnp, true, posix_spawnp)
