#include "backing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/draft.h"
#include "log.h"
#include "core/util.h"

#define DEPTH_MAX 32

/* On a nameless file, or where there are none, on one that is gone before anybody else can meet it. */
static int try_xattr(int dir)
{
    const char *name = SS_DRAFT_PREFIX "probe";
    bool named = false;

    SS_AUTO_CLOSE int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        named = fd >= 0;
    }
    if (fd < 0)
        return -errno;
    int r = fsetxattr(fd, SS_XATTR_PREFIX "probe", "1", 1, 0) < 0 ? -errno : 0;
    if (named)
        unlinkat(dir, name, 0);
    return r;
}

int ss_backing_open(const char *path, bool read_only)
{
    SS_AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "savesealfs: %s: %s\n", path, strerror(errno));
        return -errno;
    }
    int r = read_only ? 0 : try_xattr(fd);
    if (r == -ENOTSUP) {
        fprintf(stderr,
                "savesealfs: %s: its file system keeps no user extended attributes, where seals are stored; "
                "mount it with them (ext4, xfs, btrfs and tmpfs of Linux 6.6 have them) or choose another directory\n",
                path);
        return r;
    }
    if (r < 0 && getxattr(path, SS_XATTR_PREFIX "backing", NULL, 0) > 0) {
        fprintf(stderr, "savesealfs: %s: is a mount of savesealfs already; unmount it first\n", path);
        return r;
    }
    if (r < 0) {
        fprintf(stderr, "savesealfs: %s: no file can be made there: %s; correct that or mount with -o ro\n", path,
                strerrordesc_np(-r));
        return r;
    }
    return ss_steal_fd(&fd);
}

static void recover_draft(int dir, const char *name)
{
    struct ss_draft_record record = {0};

    int r = ss_draft_recover(dir, name, &record);
    if (r == 1)
        ss_log(LOG_NOTICE, "%s: %s: committed before the crash, published now", record.target,
               ss_finding_text(SS_CLEAN)->id);
    else if (r == 0)
        ss_log(LOG_WARNING, "%s: interrupted draft %s: %s", record.target, name, ss_finding_text(record.reason)->id);
    else if (r != -EAGAIN && r != -ENOENT)
        ss_log(LOG_WARNING, "draft %s: left as it is: %s", name, strerrordesc_np(-r));
}

static void recover_below(int at, const char *path, int depth)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (entry->d_type == DT_REG && ss_draft_reserved(name))
            recover_draft(fd, name);
        else if (entry->d_type == DT_DIR && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && depth < DEPTH_MAX)
            recover_below(fd, name, depth + 1);
    }
    closedir(dir);
}

void ss_backing_recover(int root)
{
    recover_below(root, ".", 0);
}
