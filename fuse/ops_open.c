/* Opening and closing files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"
#include "cred.h"
#include "image.h"
#include "judge.h"
#include "ops.h"
#include "passthrough.h"
#include "rival.h"
#include "scarce.h"
#include "settle.h"
#include "core/util.h"

/* O_TRUNC changes the file even when it is opened for reading. */
static bool opens_to_change(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* Takes a handle on a save (with references of its own) and truncates if asked. */
static int open_save(struct ss_fs *fs, uint32_t index, int flags, struct fuse_file_info *fi, pid_t tid, uid_t uid)
{
    struct ss_save *save = ss_save_at(fs, index);
    bool writes = opens_to_change(flags);

    uint32_t handle = ss_handle_take(fs, SS_HANDLE_SAVE, -1, save->node, index, writes);
    if (handle == SS_NONE)
        return -ENFILE;
    int r = ss_judge_open(fs, index, tid, writes, flags & O_TRUNC);
    if (r < 0) {
        ss_handle_give(fs, handle);
        return r;
    }
    fi->fh = ss_handle_fh(fs, handle);
    if (flags & O_TRUNC)
        r = ss_content_truncate(fs, save, ss_handle_at(fs, handle), 0);
    if (r == 0 && (flags & O_TRUNC) && uid != 0)
        ss_content_drop_set_id(save);
    if (flags & O_DIRECT)
        atomic_store(&save->unbuffered, true);
    if (r == 0)
        ss_passthrough_open_save(fs, save, fi);
    if (r < 0) {
        ss_judge_release(fs, index, ss_handle_at(fs, handle));
        ss_handle_give(fs, handle);
    }
    return r;
}

/* The kernel does not get the handle, or does not want it any more: nobody will ever release the handle. */
static void undo_open(struct ss_fs *fs, uint64_t fh)
{
    struct ss_handle *handle = ss_handle_at(fs, fh);

    if (handle->kind == SS_HANDLE_SAVE)
        ss_judge_release(fs, handle->save, handle);
    ss_handle_give(fs, (uint32_t)fh);
}

/* A new save whose open failed leaves nothing behind; unless another thread of its family has opened it meanwhile, to
 * whom it belongs then. Takes state, with busy claimed. */
static void take_back(struct ss_fs *fs, uint32_t index, pid_t tid)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_save_claim(save);
    pthread_mutex_lock(&save->state);
    ss_save_expected_came(save, tid);
    bool unwanted = save->status == SS_SAVE_OPEN && !save->opened && ss_save_is_idle(save);
    pthread_mutex_unlock(&save->state);
    if (unwanted)
        ss_judge_forget(fs, index);
    ss_save_yield(save);
}

/* Begins the save of a name that is free, with an empty draft. */
static int create_new(struct ss_fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_entry_param *entry, struct fuse_file_info *fi)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    uint32_t index;

    int r = ss_save_begin(fs, caller->pid, ss_node_index(parent), name, -1, fi->flags & O_EXCL, UINT64_MAX, &index);
    if (r < 0)
        return r;
    r = ss_content_create(fs, ss_save_at(fs, index), caller, mode);
    if (r == 0)
        r = open_save(fs, index, fi->flags & ~O_TRUNC, fi, caller->pid, caller->uid);
    if (r == 0 && (r = ss_save_entry(fs, index, false, entry)) < 0)
        undo_open(fs, fi->fh);
    if (r < 0)
        take_back(fs, index, caller->pid);
    ss_save_release(fs, index);
    return r;
}

/* fd is its file, open for reading; taken over also on error. */
static int open_image(struct ss_fs *fs, struct ss_node *node, uint32_t index, int fd, struct fuse_file_info *fi)
{
    struct stat st;

    int r = ss_image_check(fs, node, fd, NULL);
    if (r == 0)
        r = fstat(fd, &st) < 0 ? -errno : 0;
    uint32_t handle = r == 0 ? ss_handle_take(fs, SS_HANDLE_IMAGE, fd, index, SS_NONE, false) : SS_NONE;
    if (handle == SS_NONE) {
        close(fd);
        return r < 0 ? r : -ENFILE;
    }
    struct ss_stamp now = ss_stamp_of(&st);
    fi->fh = ss_handle_fh(fs, handle);
    fi->noflush = 1; /* how an image is closed is no matter */
    if (ss_passthrough_open_image(fs, node, ss_handle_at(fs, fi->fh), fi))
        return 0;
    pthread_mutex_lock(&fs->tables);
    fi->keep_cache = ss_stamp_equal(&node->cached, &now);
    node->cached = now;
    pthread_mutex_unlock(&fs->tables);
    return 0;
}

/* Makes the file, or finds the one that a worker that died has made for this request. Returns its descriptor. */
static int make_empty(struct ss_fs *fs, const struct fuse_ctx *caller, int dir, const char *name, mode_t mode)
{
    int make = ss_made_before(dir, name, S_IFREG) ? 0 : O_CREAT | O_EXCL;

    if (make)
        ss_cred_assume(fs, caller);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | make, mode & 07777);
    int r = fd < 0 ? -errno : fd;
    if (make)
        ss_cred_restore(fs);
    return r;
}

/* A creation that can not write: nothing is to come that somebody would have to wait for, so the empty image gets its
 * name at once. Programs take locks on files that they make so (flock(1)): it must be the same file for everybody. */
static int create_empty(struct ss_fs *fs, fuse_req_t req, fuse_ino_t parent, int dir, const char *name, mode_t mode,
                        struct fuse_entry_param *entry, struct fuse_file_info *fi)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req);

    SS_AUTO_CLOSE int fd = make_empty(fs, caller, dir, name, mode);
    if (fd == -EEXIST && !(fi->flags & O_EXCL))
        return -ESTALE; /* others were first: on a second walk the kernel asks whether the caller may open theirs */
    if (fd < 0)
        return fd;
    int r = ss_lookup(fs, parent, name, caller->pid, entry);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r; /* taken away again, or replaced */
    struct ss_node *node = ss_node_at(fs, entry->ino);
    r = -ESTALE;
    if (node->kind == SS_NODE_IMAGE && ss_draft_still_named(dir, name, fd))
        r = open_image(fs, node, ss_node_index(entry->ino), ss_steal_fd(&fd), fi);
    if (r < 0)
        ss_node_forget(fs, entry->ino, 1);
    return r;
}

/* Has the family of tid a save of that name? */
static bool is_familys(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid)
{
    uint32_t index = ss_save_find(fs, ss_node_index(parent), name, tid);

    if (index != SS_NONE)
        ss_save_release(fs, index);
    return index != SS_NONE;
}

/* For tid, is there anything of that name? */
static bool is_taken(struct ss_fs *fs, int dir, fuse_ino_t parent, const char *name, pid_t tid)
{
    return is_familys(fs, parent, name, tid) || ss_exists(dir, name);
}

static int do_create(struct ss_fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                     struct fuse_entry_param *entry, struct fuse_file_info *fi)
{
    int dir = ss_dir_fd(fs, parent);
    if (dir < 0)
        return dir;
    if (ss_draft_reserved(name))
        return -EPERM;
    if (!ss_may_be_replaced(dir, -1))
        return -EPERM;
    /* The kernel asks for a creation after a lookup that found nothing. An image that others have published since does
     * not matter, this save began before; one of the family's own is gone on with, on a second walk (see
     * ss_redirect_image).
     */
    pid_t tid = fuse_req_ctx(req)->pid;
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    if (!writes && !is_familys(fs, parent, name, tid))
        return create_empty(fs, req, parent, dir, name, mode, entry, fi);
    if (fi->flags & O_EXCL)
        return is_taken(fs, dir, parent, name, tid) ? -EEXIST : create_new(fs, req, parent, name, mode, entry, fi);
    if (!writes)
        return -ESTALE;
    if (ss_join_save(fs, ss_node_index(parent), name, tid, !(fi->flags & O_TRUNC)))
        return -ESTALE;
    return create_new(fs, req, parent, name, mode, entry, fi);
}

void ss_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fuse_entry_param entry = {0};
    struct ss_fs *fs = ss_fs(req);

    int r = ss_settle_wait_name(fs, req, ss_node_index(parent), name, fuse_req_ctx(req)->pid);
    if (r == 0)
        r = do_create(fs, req, parent, name, mode, &entry, fi);
    ss_scarce_tell(fs, r);
    if (r < 0) {
        fuse_reply_err(req, -r);
    } else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        undo_open(fs, fi->fh);
        ss_node_forget(fs, entry.ino, 1);
    }
}

static int open_own_image(struct ss_fs *fs, struct ss_node *node, uint32_t index, struct fuse_file_info *fi)
{
    int fd = ss_image_open(node);
    return fd < 0 ? fd : open_image(fs, node, index, fd, fi);
}

static int do_open(struct ss_fs *fs, fuse_ino_t ino, struct fuse_file_info *fi, const struct fuse_ctx *caller)
{
    pid_t tid = caller->pid;
    struct ss_node *node = ss_node_at(fs, ino);

    if (!node)
        return -ESTALE;
    if (node->kind == SS_NODE_PLAIN)
        return -EPERM; /* the kernel opens special files itself */
    if (node->kind == SS_NODE_IMAGE && opens_to_change(fi->flags))
        return ss_redirect_image(fs, node, !(fi->flags & O_TRUNC), tid);
    if (node->kind == SS_NODE_IMAGE)
        return open_own_image(fs, node, ss_node_index(ino), fi);

    int r = open_save(fs, node->save, fi->flags, fi, tid, caller->uid);
    if (r != -ESTALE)
        return r;
    return ss_redirect_save(fs, ss_save_at(fs, node->save), !(fi->flags & O_TRUNC), tid);
}

void ss_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);

    int r = do_open(fs, ino, fi, fuse_req_ctx(req));
    ss_scarce_tell(fs, r);
    if (r < 0)
        fuse_reply_err(req, -r);
    else if (fuse_reply_open(req, fi) == -ENOENT)
        undo_open(fs, fi->fh);
}

void ss_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi->fh);
    int r = 0;

    (void)ino;
    if (handle->kind == SS_HANDLE_SAVE) {
        ss_rival_wait(fs, req, handle); /* interrupted or not, the close must be seen */
        r = ss_judge_flush(fs, ss_save_at(fs, handle->save), handle, fuse_req_ctx(req)->pid);
        if (r > 0 && (r = ss_rival_decide(fs, req, handle)) < 0)
            ss_content_take_back(ss_save_at(fs, handle->save));
    }
    fuse_reply_err(req, -r);
}

void ss_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi->fh);

    (void)ino;
    if (ss_handle_is_open(fs, fi->fh)) {
        if (handle->kind == SS_HANDLE_SAVE)
            ss_judge_release(fs, handle->save, handle);
        ss_handle_give(fs, (uint32_t)fi->fh);
    }
    fuse_reply_err(req, 0);
}
