/* posix_spawn. The C library makes the child by itself, and opens what its file actions name there, without a call that
 * could be hooked: that is not protected, and told. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>

#include "begin.h"
#include "child.h"
#include "drafts.h"
#include "inside.h"
#include "real.h"
#include "self.h"

SS_EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd, const char *path, int flags,
                                               mode_t mode)
{
    if (!ss_begin_is_plain(path, flags) && ss_self_reports() && ss_begin_concerns(path)) {
        SS_INSIDE;
        ss_self_report("%s: opened by posix_spawn: what is saved there is not protected", path);
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

SS_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    before(path, false, environment);
    return ss_real()->posix_spawn(pid, path, actions, attributes, arguments, environment);
}

SS_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    before(file, true, environment);
    return ss_real()->posix_spawnp(pid, file, actions, attributes, arguments, environment);
}
