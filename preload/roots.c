#include "roots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "mounts.h"
#include "real.h"
#include "core/draft.h"
#include "core/proc.h"
#include "core/util.h"

struct alias {
    const char *text; /* as it was given, or canonical; without a slash at its end */
    size_t len;
    const char *canonical;
};

static struct alias aliases[2 * SS_ROOTS_MAX];
static size_t alias_count;
static struct ss_root roots[SS_ROOTS_MAX];
static size_t root_count;

static void add_alias(const char *text, const char *canonical)
{
    aliases[alias_count++] = (struct alias){.text = text, .len = strlen(text), .canonical = canonical};
}

/* The mount itself, or a directory on it. */
static bool is_savesealfs(int fd)
{
    struct statfs fs;
    struct stat st;

    return fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC && fstat(fd, &st) == 0 &&
           ss_proc_is_device_of(st.st_dev, "fuse.savesealfs");
}

/* They do not tell who else has a file open: a lease is refused though nobody has. */
static bool is_of_another_machine(const struct statfs *fs)
{
    return fs->f_type == NFS_SUPER_MAGIC || fs->f_type == SMB_SUPER_MAGIC || fs->f_type == CIFS_SUPER_MAGIC ||
           fs->f_type == SMB2_SUPER_MAGIC;
}

static int fail(char *why, size_t size, const char *dir, const char *what, int error)
{
    snprintf(why, size, "%s: %s: %s", dir, what, strerrordesc_np(error));
    return -error;
}

static int check(const char *dir, dev_t *device, char *why, size_t size)
{
    struct statfs fs;
    struct stat st;

    if (stat(dir, &st) < 0 || statfs(dir, &fs) < 0)
        return fail(why, size, dir, "can not be protected", errno);
    if (is_of_another_machine(&fs))
        return fail(why, size, dir, "is on NFS or SMB, which does not tell who has a file open", EOPNOTSUPP);
    *device = st.st_dev;
    if (!S_ISDIR(st.st_mode))
        return fail(why, size, dir, "can not be protected", ENOTDIR);
    if (getxattr(dir, SS_SEAL_XATTR, NULL, 0) < 0 && (errno == ENOTSUP || errno == ENOSYS))
        return fail(why, size, dir, "has no user extended attributes; use ext4, xfs, btrfs, or tmpfs of Linux 6.6",
                    errno);
    return 0;
}

/* given is kept. Returns 1, 0 when there is nothing to protect, or -errno. */
static int add_root(char *given, char *why, size_t size)
{
    size_t len = strlen(given);

    while (len > 1 && given[len - 1] == '/')
        given[--len] = '\0';
    if (given[0] != '/')
        return fail(why, size, given, "SAVESEAL_DIRS takes absolute names", EINVAL);
    SS_AUTO_CLOSE int fd = ss_real()->openat(AT_FDCWD, given, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && is_savesealfs(fd))
        return 0;
    dev_t device = 0;
    int r = check(given, &device, why, size);
    if (r < 0)
        return r;
    if (root_count == SS_ROOTS_MAX)
        return fail(why, size, given, "too many directories", E2BIG);
    char *canonical = ss_real()->realpath(given, NULL);
    if (!canonical)
        return fail(why, size, given, "can not be protected", errno);
    if (strcmp(canonical, "/") == 0)
        return fail(why, size, given, "the root directory can not be protected", EINVAL);
    roots[root_count++] = (struct ss_root){canonical, device};
    add_alias(canonical, canonical);
    if (strcmp(given, canonical) != 0)
        add_alias(given, canonical);
    return 1;
}

int ss_roots_init(const char *dirs, char *why, size_t size)
{
    char *rest = strdup(dirs); /* the names stay in use as long as the process lives */
    char *given;

    if (!rest)
        return fail(why, size, dirs, "can not be protected", ENOMEM);
    while ((given = strsep(&rest, ":"))) {
        int r = given[0] ? add_root(given, why, size) : 0;
        if (r < 0)
            return r;
    }
    return (int)root_count;
}

bool ss_roots_cover(const char *path, char canonical[PATH_MAX])
{
    for (size_t i = 0; i < alias_count; i++) {
        const struct alias *alias = &aliases[i];
        if (strncmp(path, alias->text, alias->len) != 0 || path[alias->len] != '/')
            continue;
        int n = snprintf(canonical, PATH_MAX, "%s%s", alias->canonical, path + alias->len);
        return n > 0 && n < PATH_MAX;
    }
    return strcmp(path, "/dev/null") != 0 && ss_mounts_cover(path, roots, root_count, canonical);
}

static int open_directory(const char *path, int flags)
{
    const struct open_how how = {.flags = (unsigned)flags | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};

    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.6, or filtered: symbolic links are followed */
        fd = ss_real()->openat(AT_FDCWD, path, flags | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

int ss_roots_open_parent(const char *canonical, const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(canonical, '/');
    size_t len = (size_t)(slash - canonical);

    memcpy(parent, canonical, len);
    parent[len] = '\0';
    *name = slash + 1;
    int fd = open_directory(parent, O_RDONLY); /* so that it can be synced */
    return fd == -EACCES ? open_directory(parent, O_PATH) : fd;
}

enum ss_place_kind ss_roots_place(int dir)
{
    struct statfs fs;
    struct stat st;

    if (fstat(dir, &st) < 0)
        return SS_PLACE_GOOD; /* what is tried there will say what is wrong */
    for (size_t i = 0; i < root_count; i++)
        if (roots[i].device == st.st_dev)
            return SS_PLACE_GOOD;
    if (is_savesealfs(dir))
        return SS_PLACE_OF_SAVESEALFS;
    return fstatfs(dir, &fs) == 0 && is_of_another_machine(&fs) ? SS_PLACE_ELSEWHERE : SS_PLACE_GOOD;
}
