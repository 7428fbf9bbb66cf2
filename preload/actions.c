#include "actions.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "real.h"

static _Atomic int known; /* 1: right, -1: wrong, 0: not looked yet */

const struct ss_action *ss_actions_of(const posix_spawn_file_actions_t *actions, size_t *count)
{
    *count = actions && actions->__used > 0 ? (size_t)actions->__used : 0;
    return actions ? (const struct ss_action *)(const void *)actions->__actions : NULL;
}

static bool add_by_name(posix_spawn_file_actions_t *actions, const char *name, int fd)
{
    int (*add)(posix_spawn_file_actions_t *, int);

    *(void **)(void *)&add = dlsym(RTLD_NEXT, name);
    return add && add(actions, fd) == 0;
}

/* All that there is, each number and text another one. */
static bool make(posix_spawn_file_actions_t *actions, bool newer[2])
{
    if (posix_spawn_file_actions_addclose(actions, 1) != 0 || posix_spawn_file_actions_adddup2(actions, 2, 3) != 0 ||
        ss_real()->posix_spawn_file_actions_addopen(actions, 4, "file", O_WRONLY | O_CREAT, 0123) != 0 ||
        posix_spawn_file_actions_addchdir_np(actions, "directory") != 0 ||
        posix_spawn_file_actions_addfchdir_np(actions, 5) != 0)
        return false;
    newer[0] = add_by_name(actions, "posix_spawn_file_actions_addclosefrom_np", 6);
    newer[1] = add_by_name(actions, "posix_spawn_file_actions_addtcsetpgrp_np", 7);
    return true;
}

static bool is_as_made(const posix_spawn_file_actions_t *actions, const bool newer[2])
{
    size_t count;
    const struct ss_action *a = ss_actions_of(actions, &count);

    if (count != 5U + newer[0] + newer[1] || actions->__allocated < actions->__used)
        return false;
    bool right = a[0].kind == SS_ACTION_CLOSE && a[0].fd == 1 && a[1].kind == SS_ACTION_DUP2 && a[1].dup2.fd == 2 &&
                 a[1].dup2.to == 3 && a[2].kind == SS_ACTION_OPEN && a[2].open.fd == 4 &&
                 a[2].open.flags == (O_WRONLY | O_CREAT) && a[2].open.mode == 0123;
    right = right && strcmp(a[2].open.path, "file") == 0 && a[3].kind == SS_ACTION_CHDIR &&
            strcmp(a[3].directory, "directory") == 0 && a[4].kind == SS_ACTION_FCHDIR && a[4].fd == 5;
    a += 5;
    if (right && newer[0])
        right = a->kind == SS_ACTION_CLOSEFROM && a->fd == 6;
    a += newer[0];
    if (right && newer[1])
        right = a->kind == SS_ACTION_TCSETPGRP && a->fd == 7;
    return right;
}

bool ss_actions_are_known(void)
{
    posix_spawn_file_actions_t actions;
    bool newer[2];

    int before = atomic_load(&known);
    if (before != 0)
        return before > 0;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    bool made = make(&actions, newer);
    bool right = made && is_as_made(&actions, newer);
    posix_spawn_file_actions_destroy(&actions);
    if (made)
        atomic_store(&known, right ? 1 : -1);
    return right;
}
