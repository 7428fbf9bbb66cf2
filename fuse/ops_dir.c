/* Directories. An offset is the backing directory's own, so that a stream holds no state but its descriptor. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "draft_index.h"
#include "ops.h"
#include "settle.h"
#include "core/util.h"

#define BATCH_MIN ((size_t)1024) /* more than any entry */

void ss_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    int dir = ss_dir_fd(fs, ino);

    int fd = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        fuse_reply_err(req, dir < 0 ? -dir : errno);
        return;
    }
    uint32_t handle = ss_handle_take(fs, SS_HANDLE_DIR, fd, ss_node_index(ino), SS_NONE, false);
    if (handle == SS_NONE) {
        close(fd);
        fuse_reply_err(req, ENFILE);
        return;
    }
    fi->fh = ss_handle_fh(fs, handle);
    if (fuse_reply_open(req, fi) == -ENOENT)
        ss_handle_give(fs, handle);
}

/* The name under which the caller sees an entry of the backing directory, or NULL when there is nothing to see. A
 * hidden draft shows up, in its place, as its target to its own family (name is written then); unless the target is
 * there anyway. */
static const char *name_as_seen(fuse_req_t req, const struct ss_handle *handle, const struct dirent64 *entry,
                                char name[NAME_MAX + 1])
{
    struct ss_fs *fs = ss_fs(req);
    pid_t tid = fuse_req_ctx(req)->pid;

    if (!ss_draft_reserved(entry->d_name))
        return entry->d_name;
    uint32_t draft = ss_draft_index_find(fs, handle->node, entry->d_name);
    if (draft == SS_NONE)
        return NULL;
    ss_save_place(fs, ss_save_at(fs, draft), name);
    bool seen = faccessat(handle->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    if (seen) {
        uint32_t visible = ss_save_find(fs, handle->node, name, tid); /* of several the one that a lookup would find */
        seen = visible == draft;
        if (visible != SS_NONE)
            ss_save_release(fs, visible);
    }
    ss_save_release(fs, draft);
    return seen ? name : NULL;
}

/* Adds the entries of a batch to the reply. Returns false when it is full. */
static bool add_batch(fuse_req_t req, const struct ss_handle *handle, const char *batch, long len, char *reply,
                      size_t size, size_t *used)
{
    char target[NAME_MAX + 1];

    for (long at = 0; at < len;) {
        const struct dirent64 *entry = (const void *)(batch + at);
        at += entry->d_reclen;
        const char *name = name_as_seen(req, handle, entry, target);
        if (!name)
            continue;
        const struct stat st = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};
        size_t need = fuse_add_direntry(req, reply + *used, size - *used, name, &st, entry->d_off);
        if (need > size - *used)
            return false;
        *used += need;
    }
    return true;
}

/* One batch is enough for a reply, unless there is nothing in it to see. The kernel's entries take up to a third more
 * than the directory's; what would not fit would be read again. */
static ssize_t fill(fuse_req_t req, const struct ss_handle *handle, off_t off, char *reply, size_t size)
{
    size_t room = size / 4 * 3 > BATCH_MIN ? size / 4 * 3 : BATCH_MIN, used = 0;
    SS_AUTO_FREE char *batch = malloc(room);
    long n = 1;

    if (!batch)
        return -ENOMEM;
    if (lseek(handle->fd, off, SEEK_SET) < 0)
        return -errno;
    while (used == 0 && n > 0) {
        n = syscall(SYS_getdents64, handle->fd, batch, room);
        if (n < 0)
            return -errno;
        if (!add_batch(req, handle, batch, n, reply, size, &used))
            break;
    }
    return (ssize_t)used;
}

void ss_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    SS_AUTO_FREE char *reply = malloc(size);

    ssize_t n = reply ? 0 : -ENOMEM;
    /* For what settles when the listing begins: so nobody's saves can hold it up for ever. The family waits, too: a
     * draft that gets its name while it is listed might come up twice, or never. */
    if (n == 0 && off == 0)
        n = ss_settle_wait_dir(ss_fs(req), req, ss_node_index(ino));
    if (n == 0)
        n = fill(req, ss_handle_at(ss_fs(req), fi->fh), off, reply, size);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, reply, (size_t)n);
}

void ss_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (ss_handle_is_open(ss_fs(req), fi->fh))
        ss_handle_give(ss_fs(req), (uint32_t)fi->fh);
    fuse_reply_err(req, 0);
}

void ss_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    int fd = ss_handle_at(ss_fs(req), fi->fh)->fd;

    (void)ino;
    fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}
