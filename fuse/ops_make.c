/* Making and removing what is no image: directories, links, special files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cred.h"
#include "notify.h"
#include "ops.h"
#include "settle.h"

static void reply_made(fuse_req_t req, int r, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;

    if (r == 0)
        r = ss_lookup(ss_fs(req), parent, name, fuse_req_ctx(req)->pid, &entry);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_entry(req, &entry);
}

/* The directory to make name in, or -errno. */
static int place(struct ss_fs *fs, fuse_ino_t parent, const char *name)
{
    return ss_draft_reserved(name) ? -EPERM : ss_dir_fd(fs, parent);
}

/* Nobody else can have come in between: the kernel makes names in a directory one after the other. */
bool ss_made_before(int dir, const char *name, mode_t type)
{
    struct stat st;
    int none;

    if (ss_slot_was_begun(&none))
        return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == (type & S_IFMT);
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        ss_slot_note_begun(-1);
    return false;
}

void ss_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct ss_fs *fs = ss_fs(req);
    int dir = place(fs, parent, name), r = dir;

    if (dir >= 0) {
        ss_cred_assume(fs, fuse_req_ctx(req));
        r = !ss_made_before(dir, name, mode) && mknodat(dir, name, mode, rdev) < 0 ? -errno : 0;
        ss_cred_restore(fs);
    }
    reply_made(req, r, parent, name);
}

void ss_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct ss_fs *fs = ss_fs(req);
    int dir = place(fs, parent, name), r = dir;

    if (dir >= 0) {
        ss_cred_assume(fs, fuse_req_ctx(req));
        r = !ss_made_before(dir, name, S_IFDIR) && mkdirat(dir, name, mode) < 0 ? -errno : 0;
        ss_cred_restore(fs);
    }
    reply_made(req, r, parent, name);
}

void ss_op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    struct ss_fs *fs = ss_fs(req);
    int dir = place(fs, parent, name), r = dir;

    if (dir >= 0) {
        ss_cred_assume(fs, fuse_req_ctx(req));
        r = !ss_made_before(dir, name, S_IFLNK) && symlinkat(link, dir, name) < 0 ? -errno : 0;
        ss_cred_restore(fs);
    }
    reply_made(req, r, parent, name);
}

static int remove_directory(int dir, const char *name)
{
    int pin;

    if (ss_slot_was_begun(&pin) && pin >= 0 && !ss_draft_still_named(dir, name, pin))
        return 0; /* by a worker that died */
    ss_slot_note_begun(openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

void ss_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    int dir = place(ss_fs(req), parent, name), r = dir;

    if (dir >= 0)
        r = remove_directory(dir, name);
    fuse_reply_err(req, -r);
}

static int do_link(struct ss_fs *fs, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct ss_node *node = ss_node_at(fs, ino);
    char path[64];

    int dir = place(fs, newparent, newname);
    if (dir < 0)
        return dir;
    if (!node)
        return -ESTALE;
    if (node->kind == SS_NODE_SAVE && !ss_save_is_published(ss_save_at(fs, node->save)))
        return -EPERM; /* a second name would show what is not whole */
    int fd = node->kind == SS_NODE_SAVE ? ss_save_data(ss_save_at(fs, node->save)) : node->fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (ss_made_before(dir, newname, node->type) && ss_draft_still_named(dir, newname, fd))
        return 0;
    return linkat(AT_FDCWD, path, dir, newname, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

void ss_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_node *node = ss_node_at(fs, ino);
    int r = 0;

    if (node && node->kind == SS_NODE_SAVE)
        r = ss_settle_wait_save(fs, req, node->save); /* git makes its second name right after the close */
    if (r == 0)
        r = do_link(fs, ino, newparent, newname);
    if (r == 0)
        ss_notify_attributes(fs, ino); /* its file has one more name now */
    reply_made(req, r, newparent, newname);
}

void ss_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct ss_node *node = ss_node_at(ss_fs(req), ino);
    char target[PATH_MAX];

    ssize_t n = node && node->kind == SS_NODE_PLAIN ? readlinkat(node->fd, "", target, sizeof target) : -1;
    if (n < 0) {
        fuse_reply_err(req, node ? errno : ESTALE);
    } else if (n == (ssize_t)sizeof target) {
        fuse_reply_err(req, ENAMETOOLONG);
    } else {
        target[n] = '\0';
        fuse_reply_readlink(req, target);
    }
}
