/* posix_spawn. The C library makes the child by itself, without a call that could be hooked, so what its file actions
 * open is opened by us beforehand: the child gets a copy of our descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>

#include "begin.h"
#include "child.h"
#include "drafts.h"
#include "inside.h"
#include "real.h"
#include "self.h"

/* A descriptor that file actions will copy, ours to close when they are destroyed. */
struct opened {
    const posix_spawn_file_actions_t *actions;
    int fd;
    struct opened *next;
};

static struct opened *all_opened; /* guarded by the table's lock, which fork knows of */

static int note(const posix_spawn_file_actions_t *actions, int fd)
{
    struct opened *opened = malloc(sizeof *opened);

    if (!opened)
        return ENOMEM;
    ss_drafts_lock();
    *opened = (struct opened){.actions = actions, .fd = fd, .next = all_opened};
    all_opened = opened;
    ss_drafts_unlock();
    return 0;
}

/* Takes one that belongs to the actions off the list. The caller frees it. NULL: there is none. */
static struct opened *take(const posix_spawn_file_actions_t *actions)
{
    ss_drafts_lock();
    struct opened **at = &all_opened;
    while (*at && (*at)->actions != actions)
        at = &(*at)->next;
    struct opened *found = *at;
    if (found)
        *at = found->next;
    ss_drafts_unlock();
    return found;
}

/* Its number must not be one that the actions use: they may have been told to close or to replace it. */
static int open_high(const char *path, int flags, mode_t mode)
{
    int fd = SS_HOOK(open(path, flags | O_CLOEXEC, mode));
    if (fd < 0)
        return -errno;
    int high = SS_HOOK(fcntl(fd, F_DUPFD_CLOEXEC, 256));
    if (high < 0)
        return fd;
    SS_HOOK(close(fd));
    return high;
}

SS_EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd, const char *path, int flags,
                                               mode_t mode)
{
    if (ss_begin_is_plain(path, flags) || (flags & O_ACCMODE) == O_RDONLY || !ss_begin_concerns(path))
        return ss_real()->posix_spawn_file_actions_addopen(actions, fd, path, flags, mode);
    int saved = errno;
    int ours = open_high(path, flags, mode);
    int r = ours < 0 ? -ours : note(actions, ours);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, ours, fd);
    else if (ours >= 0)
        close(ours);
    errno = saved;
    return r;
}

SS_EXPORT int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions)
{
    int saved = errno;

    for (struct opened *opened; ss_active && (opened = take(actions));) {
        SS_HOOK(close(opened->fd));
        free(opened);
    }
    errno = saved;
    return ss_real()->posix_spawn_file_actions_destroy(actions);
}

/* As fork does, of which the C library tells: this it does without a word. */
static void before(const char *program, char *const environment[])
{
    ss_child_starts(program, environment);
    if (!ss_active || ss_inside() || !ss_drafts_any() || !ss_self_may_remember())
        return;
    SS_INSIDE;
    ss_drafts_lock();
    ss_drafts_before_fork();
    ss_drafts_unlock();
}

SS_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    before(path, environment);
    return ss_real()->posix_spawn(pid, path, actions, attributes, arguments, environment);
}

SS_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    before(file, environment);
    return ss_real()->posix_spawnp(pid, file, actions, attributes, arguments, environment);
}
