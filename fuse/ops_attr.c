/* Attributes, plain and extended. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "content.h"
#include "judge.h"
#include "mountpoint.h"
#include "ops.h"
#include "rival.h"
#include "scarce.h"
#include "settle.h"
#include "core/util.h"

/* Only on directories, and in no list: where the tool finds the backing directory. */
#define BACKING_XATTR SS_XATTR_PREFIX "backing"

/* A path that leads to the node's file through our own descriptor: what chmod, utimens and xattr calls need, which
 * refuse O_PATH descriptors. A save's is its draft's, or while it has changed nothing its image's. */
static void node_path(struct ss_fs *fs, const struct ss_node *node, char path[64])
{
    int fd = node->kind == SS_NODE_SAVE ? ss_save_data(ss_save_at(fs, node->save)) : node->fd;
    snprintf(path, 64, "/proc/self/fd/%d", fd);
}

void ss_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    struct stat st;

    (void)fi;
    int r = node ? ss_node_stat(fs, node, &st) : -ESTALE;
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &st, ss_attr_timeout(fs, node, &st));
}

static int truncate_as(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, off_t size, uid_t uid)
{
    int r = ss_content_truncate(fs, save, handle, size);
    if (r == 0 && uid != 0)
        ss_content_drop_set_id(save);
    return r;
}

/* A truncation by path, without an open file: a save of its own from beginning to end. */
static int truncate_save(struct ss_fs *fs, uint32_t index, off_t size, const struct fuse_ctx *caller)
{
    struct ss_save *save = ss_save_at(fs, index);

    uint32_t taken = ss_handle_take(fs, SS_HANDLE_SAVE, -1, save->node, index, true);
    if (taken == SS_NONE)
        return -ENFILE;
    struct ss_handle *handle = ss_handle_at(fs, taken);
    int r = ss_judge_open(fs, index, caller->pid, true, false);
    if (r == 0) {
        r = truncate_as(fs, save, handle, size, caller->uid);
        int closed = ss_judge_flush(fs, save, handle, caller->pid);
        if (closed > 0 && (closed = ss_rival_decide(fs, NULL, handle)) < 0)
            ss_content_take_back(save);
        if (r == 0 && closed == 0)
            ss_slot_note_begun_to_save(-1, index, save->serial, false);
        ss_judge_release(fs, index, handle);
        r = r < 0 ? r : closed;
    }
    ss_handle_give(fs, taken);
    return r;
}

/* Did a worker that died do it, up to the publication? */
static bool truncated_before(struct ss_save *save)
{
    int none;

    if (!ss_slot_was_begun(&none))
        return false;
    pthread_mutex_lock(&save->state);
    bool published = save->status == SS_SAVE_PUBLISHED;
    pthread_mutex_unlock(&save->state);
    return published;
}

static int set_size(struct ss_fs *fs, struct ss_node *node, off_t size, struct fuse_file_info *fi,
                    const struct fuse_ctx *caller)
{
    struct ss_handle *handle = fi ? ss_handle_at(fs, fi->fh) : NULL;

    if (handle && handle->kind == SS_HANDLE_SAVE)
        return handle->writes ? truncate_as(fs, ss_save_at(fs, handle->save), handle, size, caller->uid) : -EBADF;
    if (node->kind == SS_NODE_SAVE && truncated_before(ss_save_at(fs, node->save)))
        return 0;
    if (node->kind == SS_NODE_SAVE) {
        int r = truncate_save(fs, node->save, size, caller);
        if (r == -ESTALE && truncated_before(ss_save_at(fs, node->save)))
            return 0; /* it was published between the two looks */
        return r == -ESTALE ? ss_redirect_save(fs, ss_save_at(fs, node->save), size > 0, caller->pid) : r;
    }
    if (node->kind != SS_NODE_IMAGE)
        return -EINVAL;
    return ss_redirect_image(fs, node, size > 0, caller->pid);
}

static void set_time(struct timespec *time, const struct timespec *value, bool set, bool now)
{
    if (now)
        time->tv_nsec = UTIME_NOW;
    else if (set)
        *time = *value;
    else
        time->tv_nsec = UTIME_OMIT;
}

static int set_attributes(struct ss_fs *fs, struct ss_node *node, const struct stat *attr, int to_set)
{
    struct timespec times[2] = {{0}, {0}};
    char path[64];

    node_path(fs, node, path);
    if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
        gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
        int r = node->kind == SS_NODE_SAVE ? chown(path, uid, gid)
                                           : fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
        if (r < 0)
            return -errno;
    }
    if ((to_set & FUSE_SET_ATTR_MODE) && chmod(path, attr->st_mode & 07777) < 0)
        return -errno;
    if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)) {
        set_time(&times[0], &attr->st_atim, to_set & FUSE_SET_ATTR_ATIME, to_set & FUSE_SET_ATTR_ATIME_NOW);
        set_time(&times[1], &attr->st_mtim, to_set & FUSE_SET_ATTR_MTIME, to_set & FUSE_SET_ATTR_MTIME_NOW);
        if (node->kind == SS_NODE_SAVE)
            return ss_content_set_times(ss_save_at(fs, node->save), times);
        if (utimensat(AT_FDCWD, path, times, 0) < 0)
            return -errno;
    }
    return 0;
}

void ss_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    struct stat st;
    int r = node ? 0 : -ESTALE;

    if (r == 0 && (to_set & FUSE_SET_ATTR_SIZE))
        r = set_size(fs, node, attr->st_size, fi, fuse_req_ctx(req));
    if (r == 0)
        r = set_attributes(fs, node, attr, to_set);
    if (r == 0)
        r = ss_node_stat(fs, node, &st);
    ss_scarce_tell(fs, r);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &st, ss_attr_timeout(fs, node, &st));
}

void ss_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    struct statvfs st;

    if (fstatvfs(node && node->fd >= 0 ? node->fd : fs->root, &st) < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_statfs(req, &st);
}

static bool ours(const char *name)
{
    return strncmp(name, SS_XATTR_PREFIX, sizeof SS_XATTR_PREFIX - 1) == 0;
}

/* Copying tools bring their source's seal along, or want to take off one that their source does not have. What stands
 * is what Saveseal found itself; so for the seal they are let pass and nothing happens. Returns 0 or -errno. */
static int change_ours(const char *name)
{
    return strcmp(name, SS_SEAL_XATTR) == 0 ? 0 : -EPERM;
}

/* Sets the attribute, or removes it when value is NULL. */
static int change_xattr(struct ss_fs *fs, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    struct ss_node *node = ss_node_at(fs, ino);
    char path[64];

    if (!node)
        return -ESTALE;
    if (ours(name))
        return change_ours(name);
    node_path(fs, node, path);
    int pin;
    bool again = ss_slot_was_begun(&pin); /* a worker that died may have done it */
    bool there = !again && (!value || (flags & XATTR_CREATE)) && getxattr(path, name, NULL, 0) >= 0;
    if (value ? !there : there)
        ss_slot_note_begun(-1);
    int r = value ? setxattr(path, name, value, size, again ? flags & ~XATTR_CREATE : flags) : removexattr(path, name);
    return r < 0 && !(again && !value && errno == ENODATA) ? -errno : 0;
}

void ss_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    fuse_reply_err(req, -change_xattr(ss_fs(req), ino, name, value, size, flags));
}

void ss_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    fuse_reply_err(req, -change_xattr(ss_fs(req), ino, name, NULL, 0, 0));
}

static ssize_t give_text(const char *text, int n, char *value, size_t size)
{
    if (size > 0 && size < (size_t)n)
        return -ERANGE;
    if (size > 0)
        memcpy(value, text, (size_t)n);
    return n;
}

/* A draft's own seal is nothing to see before it is published. */
static bool shows_seal(struct ss_fs *fs, const struct ss_node *node)
{
    return node->kind != SS_NODE_SAVE || ss_save_is_published(ss_save_at(fs, node->save));
}

static ssize_t read_xattr(struct ss_fs *fs, const struct ss_node *node, const char *name, char *value, size_t size)
{
    char path[64], state[256];

    if (strcmp(name, BACKING_XATTR) == 0 && S_ISDIR(node->type)) {
        int n = snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)fs->keeper, node->fd);
        return give_text(path, n, value, size);
    }
    if (strcmp(name, SS_DAEMON_XATTR) == 0 && S_ISDIR(node->type))
        return give_text(state, ss_mount_tell(fs, state, sizeof state), value, size);
    if (ours(name) && (!shows_seal(fs, node) || strcmp(name, SS_SEAL_XATTR) != 0))
        return -ENODATA;
    node_path(fs, node, path);
    ssize_t n = getxattr(path, name, value, size);
    return n < 0 ? -errno : n;
}

/* Answers a call that asks for the size first (size 0) and for the bytes then. */
static void reply_sized(fuse_req_t req, ssize_t n, const char *bytes, size_t size)
{
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else if ((size_t)n > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, bytes, (size_t)n);
}

void ss_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    SS_AUTO_FREE char *value = size ? malloc(size) : NULL;
    int r = 0;

    /* Who has just closed it, or has it checked by a command of his, wants to know the outcome; and so does who is
     * about to look at it behind the mount. */
    if (node && node->kind == SS_NODE_SAVE && strcmp(name, SS_SEAL_XATTR) == 0)
        r = ss_settle_wait_save(fs, req, node->save);
    else if (node && S_ISDIR(node->type) && strcmp(name, BACKING_XATTR) == 0)
        r = ss_settle_wait_dir(fs, req, ss_node_index(ino));
    if (!node || (size && !value))
        fuse_reply_err(req, node ? ENOMEM : ESTALE);
    else if (r < 0)
        fuse_reply_err(req, -r);
    else
        reply_sized(req, read_xattr(fs, node, name, value, size), value, size);
}

/* Takes what is not to be seen out of a list of names; returns its new length. */
static ssize_t hide_some(const struct ss_node *node, bool privileged, char *names, ssize_t len)
{
    char *out = names;

    for (char *name = names; name < names + len;) {
        size_t n = strlen(name) + 1;
        bool hidden = (ours(name) && (node->kind == SS_NODE_SAVE || strcmp(name, SS_SEAL_XATTR) != 0)) ||
                      (!privileged && strncmp(name, "trusted.", 8) == 0);
        if (!hidden) {
            memmove(out, name, n);
            out += n;
        }
        name += n;
    }
    return out - names;
}

void ss_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    char path[64];

    if (!node) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    node_path(fs, node, path);
    ssize_t n = listxattr(path, NULL, 0);
    SS_AUTO_FREE char *names = n > 0 ? malloc((size_t)n) : NULL;
    if (n > 0 && !names)
        n = -ENOMEM;
    else if (n != 0)
        n = n > 0 ? listxattr(path, names, (size_t)n) : -1;
    if (n == -1)
        n = -errno;
    reply_sized(req, n > 0 ? hide_some(node, fuse_req_ctx(req)->uid == 0, names, n) : n, names, size);
}
