#include "mountpoint.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/proc.h"
#include "core/util.h"

int ss_mount_tell(const struct ss_fs *fs, char *text, size_t size)
{
    const struct ss_shared *shared = fs->shared;

    return snprintf(text, size, "saveseal/1 pid=%d version=%s restarts=%u upgrades=%u refusals=%u", (int)fs->keeper,
                    SAVESEAL_VERSION, shared->restarts, shared->upgrades, shared->refusals);
}

int ss_mount_ask(const char *path, struct ss_mount_state *state)
{
    char text[256];
    int pid;

    ssize_t n = getxattr(path, SS_DAEMON_XATTR, text, sizeof text - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    *state = (struct ss_mount_state){0};
    if (sscanf(text, "saveseal/1 pid=%d version=%31s restarts=%u upgrades=%u refusals=%u", &pid, state->version,
               &state->restarts, &state->upgrades, &state->refusals) != 5 ||
        pid <= 1)
        return -EPROTO;
    state->keeper = pid;
    return 0;
}

int ss_mount_signal(const char *path, const struct ss_mount_state *state, int signal)
{
    char place[PATH_MAX], proc[64];
    struct stat st;
    uid_t user;

    if (!realpath(path, place))
        return -errno;
    if (!ss_proc_is_mount_of(place, "fuse.savesealfs") || ss_proc_mount_user(place, &user) < 0)
        return -ENODATA;
    SS_AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, state->keeper, 0);
    if (pidfd < 0)
        return -errno;
    snprintf(proc, sizeof proc, "/proc/%d", (int)state->keeper);
    if (stat(proc, &st) < 0)
        return -errno;
    if (st.st_uid != user)
        return -EPERM;
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

void ss_mount_detach(const char *mount)
{
    sigset_t none;

    if (umount2(mount, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", mount, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

/* realpath() of a mount point that can not be looked at: of the directory that it is in. */
static int absolute(const char *path, char result[PATH_MAX])
{
    char copy[PATH_MAX], parent[PATH_MAX];
    char name[NAME_MAX + 1];

    if (strlen(path) >= sizeof copy)
        return -ENAMETOOLONG;
    strcpy(copy, path);
    snprintf(name, sizeof name, "%s", basename(copy));
    strcpy(copy, path);
    if (!realpath(dirname(copy), parent))
        return -errno;
    int n = snprintf(result, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int ss_mount_replace_dead(const char *path)
{
    char place[PATH_MAX];

    int r = absolute(path, place);
    if (r < 0)
        return r;
    if (!ss_proc_is_mount_of(place, "fuse.savesealfs"))
        return -ENOENT;
    fprintf(stderr, "savesealfs: %s: replacing a mount whose savesealfs was killed\n", place);
    ss_mount_detach(place);
    return 0;
}
