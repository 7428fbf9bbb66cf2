/* posix_spawn by fork, the file actions through our own hooks, and exec. For those that open what is protected: the C
 * library would open it in a child of its own making, without a call that could be hooked. */
#ifndef SAVESEAL_PRELOAD_SPAWNING_H
#define SAVESEAL_PRELOAD_SPAWNING_H

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

struct ss_spawn {
    const char *program;
    bool by_path; /* PATH is searched for it, if there is no slash in it */
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes; /* or NULL */
    char *const *arguments;
    char *const *environment;
};

/* Do the actions open something below a protected directory? Looks at the file system. Keeps errno. */
bool ss_spawn_concerns(const posix_spawn_file_actions_t *actions);

/* Returns 0 and the child, or a positive errno as posix_spawn does; ENOTSUP for what is not known here, so that nothing
 * is saved unprotected. Not from inside a hook. Thread-safe. */
int ss_spawn_run(pid_t *pid, const struct ss_spawn *spawn);

/* Around each fork of this thread, with the table's lock held: so no other thread's fork copies what tells us that the
 * child has called exec. */
void ss_spawn_before_fork(void);
void ss_spawn_after_fork(void);
void ss_spawn_in_child(void);

#endif
