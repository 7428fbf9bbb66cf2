/* What a program has put into posix_spawn's file actions. The C library has no call that reads them back. */
#ifndef SAVESEAL_PRELOAD_ACTIONS_H
#define SAVESEAL_PRELOAD_ACTIONS_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum ss_action_kind {
    SS_ACTION_CLOSE,
    SS_ACTION_DUP2,
    SS_ACTION_OPEN,
    SS_ACTION_CHDIR,
    SS_ACTION_FCHDIR,
    SS_ACTION_CLOSEFROM, /* glibc 2.34 */
    SS_ACTION_TCSETPGRP, /* glibc 2.35 */
    SS_ACTION_KINDS
};

/* One action, as all versions of glibc keep it from 2.29 on: nothing that is promised, so ss_actions_are_known looks.
 */
struct ss_action {
    enum ss_action_kind kind;
    union {
        int fd; /* of all but CHDIR */
        struct {
            int fd, to;
        } dup2;
        struct {
            int fd;
            const char *path;
            int flags;
            mode_t mode;
        } open;
        const char *directory; /* of CHDIR */
    };
};

/* Can the list be read? Makes one by the C library's own functions, and compares, until that came out right or wrong
 * once. False also for want of memory. Thread-safe. */
bool ss_actions_are_known(void);

/* The list, still the program's, and how many there are; with none NULL is fine. Only if they are known. */
const struct ss_action *ss_actions_of(const posix_spawn_file_actions_t *actions, size_t *count);

#endif
