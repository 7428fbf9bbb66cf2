/* Mounts of savesealfs, seen from outside and at the end. */
#ifndef SAVESEAL_FUSE_MOUNTPOINT_H
#define SAVESEAL_FUSE_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs.h"

/* The xattr by which a mount's root tells about its keeper; in no list. */
#define SS_DAEMON_XATTR "user.saveseal.daemon"

struct ss_mount_state {
    pid_t keeper;
    uint32_t restarts, upgrades, refusals;
    char version[32];
};

/* Text for SS_DAEMON_XATTR. Returns its length. */
int ss_mount_tell(const struct ss_fs *fs, char *text, size_t size);

/* Asks the mount at path. Returns 0, -ENODATA or -ENOTSUP when it is none, -errno. */
int ss_mount_ask(const char *path, struct ss_mount_state *state);

/* Sends its keeper a signal, if that runs as the user who mounted it: what a mount says of itself may be a lie. Returns
 * 0, -EPERM, -errno. */
int ss_mount_signal(const char *path, const struct ss_mount_state *state, int signal);

/* Detaches the mount lazily: what is open goes on, and the session ends when the last of it is closed. No memory is
 * allocated. */
void ss_mount_detach(const char *mount);

/* path can't be used because its keeper was killed (ENOTCONN): takes the dead mount away. Returns 0 when that was done,
 * -ENOENT when there is none, -errno. Says so on standard error. */
int ss_mount_replace_dead(const char *path);

#endif
