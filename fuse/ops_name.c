/* Names: who sees what under a name, and what unlink does to images and drafts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"
#include "image.h"
#include "judge.h"
#include "log.h"
#include "notify.h"
#include "ops.h"
#include "scarce.h"
#include "settle.h"
#include "core/util.h"

#define CLEANUP_SECONDS 10

int ss_dir_fd(struct ss_fs *fs, fuse_ino_t ino)
{
    struct ss_node *node = ss_node_at(fs, ino);
    return node && S_ISDIR(node->type) ? node->fd : -ESTALE;
}

int ss_node_stat(struct ss_fs *fs, struct ss_node *node, struct stat *st)
{
    int r;

    if (node->kind == SS_NODE_SAVE)
        r = fstat(ss_save_data(ss_save_at(fs, node->save)), st);
    else
        r = fstatat(node->fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    return r < 0 ? -errno : 0;
}

/* A file with several names has several nodes, of which the kernel does not know that they have the same attributes. */
double ss_attr_timeout(const struct ss_fs *fs, const struct ss_node *node, const struct stat *st)
{
    bool several = node->kind == SS_NODE_IMAGE && st->st_nlink > 1;
    return node->kind == SS_NODE_SAVE || several || fs->shared_directory ? 0.0 : SS_TIMEOUT;
}

/* For the kernel, a name is what it looked up last; so while there is a save of it each walk must ask. A save begins
 * with a walk that the kernel makes anew (see ss_redirect_image), or with a name that is not there, and what is not
 * there is never remembered; so what was answered just before it begins does no harm. before: fs.save_changes from
 * before the name was looked at, for a save may have been published since. */
static double name_timeout(struct ss_fs *fs, uint32_t dir, const char *name, uint64_t before)
{
    bool may = !fs->shared_directory && !ss_names_held(fs);
    bool unchanged = !ss_save_is_at(fs, dir, name) && atomic_load(&fs->save_changes) == before;
    return may && unchanged ? SS_TIMEOUT : 0.0;
}

int ss_save_entry(struct ss_fs *fs, uint32_t index, bool must_be_linked, struct fuse_entry_param *entry)
{
    struct ss_save *save = ss_save_at(fs, index);

    *entry = (struct fuse_entry_param){0};
    if (fstat(ss_save_data(save), &entry->attr) < 0)
        return -errno;
    pthread_mutex_lock(&fs->tables);
    bool ok = save->linked || !must_be_linked;
    if (ok) {
        entry->ino = ss_node_id(save->node);
        ss_node_count_lookup(fs, save->node);
    }
    pthread_mutex_unlock(&fs->tables);
    return ok ? 0 : -ENOENT;
}

/* Of a file that was not known, *st may be another one's by now, and is written again. */
static int lookup_new(struct ss_fs *fs, int dir, fuse_ino_t parent, const char *name, struct stat *st, uint32_t *index)
{
    SS_AUTO_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstatat(fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return ss_node_lookup(fs, ss_steal_fd(&fd), st, ss_node_index(parent), name, index);
}

static int lookup_image(struct ss_fs *fs, fuse_ino_t parent, const char *name, struct fuse_entry_param *entry)
{
    uint64_t before = atomic_load(&fs->save_changes);
    uint32_t index;

    *entry = (struct fuse_entry_param){0};
    int dir = ss_dir_fd(fs, parent);
    if (dir < 0)
        return dir;
    if (fstatat(dir, name, &entry->attr, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!ss_node_lookup_known(fs, &entry->attr, ss_node_index(parent), name, &index)) {
        int r = lookup_new(fs, dir, parent, name, &entry->attr, &index);
        if (r < 0)
            return r;
    }
    entry->ino = ss_node_id(index);
    entry->attr_timeout = ss_attr_timeout(fs, ss_node_at(fs, entry->ino), &entry->attr);
    entry->entry_timeout = name_timeout(fs, ss_node_index(parent), name, before);
    return 0;
}

bool ss_exists(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool ss_gave_way(struct ss_fs *fs, uint32_t index, fuse_ino_t parent, const char *name)
{
    int dir = ss_dir_fd(fs, parent);

    return ss_save_failed_for(ss_save_at(fs, index)) >= 0 && dir >= 0 && ss_exists(dir, name);
}

int ss_lookup(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid, struct fuse_entry_param *entry)
{
    if (ss_draft_reserved(name))
        return -ENOENT;
    for (;;) {
        uint32_t save = ss_save_find(fs, ss_node_index(parent), name, tid);
        if (save == SS_NONE)
            return lookup_image(fs, parent, name, entry);
        int r = ss_gave_way(fs, save, parent, name) ? lookup_image(fs, parent, name, entry)
                                                    : ss_save_entry(fs, save, true, entry);
        ss_save_release(fs, save);
        if (r != -ENOENT)
            return r;
        /* It was published or dropped since: look again. */
    }
}

void ss_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    pid_t tid = fuse_req_ctx(req)->pid;

    int r = ss_settle_wait_name(ss_fs(req), req, ss_node_index(parent), name, tid);
    if (r == 0)
        r = ss_lookup(ss_fs(req), parent, name, tid, &entry);
    ss_scarce_tell(ss_fs(req), r);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_entry(req, &entry);
}

void ss_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    ss_node_forget_told(ss_fs(req), ino, nlookup);
    fuse_reply_none(req);
}

void ss_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        ss_node_forget_told(ss_fs(req), forgets[i].ino, forgets[i].nlookup);
        if (i % (SS_CLOSING_MAX / 2) == 0)
            ss_fs_close_pending(ss_fs(req));
    }
    fuse_reply_none(req);
}

bool ss_may_be_replaced(int dir, int fd)
{
    const unsigned long long fixed = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
    struct statx place, file;

    if (statx(dir, "", AT_EMPTY_PATH, 0, &place) == 0 && (place.stx_attributes & fixed))
        return false;
    return fd < 0 || statx(fd, "", AT_EMPTY_PATH, 0, &file) < 0 || !(file.stx_attributes & fixed);
}

/* Opens the image that has the name now, to be edited. Returns a descriptor, -ENOENT, -errno. */
static int open_base(struct ss_fs *fs, uint32_t dir, const char *name, bool trusts_content)
{
    struct fuse_entry_param entry;

    int r = lookup_image(fs, ss_node_id(dir), name, &entry);
    if (r < 0)
        return r;
    struct ss_node *node = ss_node_at(fs, entry.ino);
    int fd = -ESTALE; /* no longer a regular file: the path has to be walked again */
    if (S_ISREG(node->type))
        fd = ss_may_be_replaced(ss_dir_fd(fs, ss_node_id(dir)), node->fd) ? ss_image_open(node) : -EPERM;
    if (fd >= 0 && trusts_content) {
        r = ss_image_check(fs, node, fd, NULL);
        if (r < 0) {
            close(fd);
            fd = r;
        }
    }
    ss_node_forget(fs, entry.ino, 1);
    return fd;
}

/* The image that has the name now; when there is none any more, what the caller has looked up. */
static int base_or_own(struct ss_fs *fs, uint32_t dir, const char *name, bool trusts_content, int own)
{
    char path[64];

    int base = open_base(fs, dir, name, trusts_content);
    if (base != -ENOENT || own < 0)
        return base;
    snprintf(path, sizeof path, "/proc/self/fd/%d", own);
    base = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return base < 0 ? -errno : base;
}

bool ss_join_save(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid, bool trusts_content)
{
    uint32_t index = ss_save_find(fs, dir, name, tid);

    if (index == SS_NONE)
        return false;
    /* Over an image that shows again, only a truncation goes on with what failed; an edit is one of the image. */
    bool joined = !(trusts_content && ss_gave_way(fs, index, ss_node_id(dir), name)) && ss_judge_join(fs, index, tid);
    if (!joined)
        ss_save_unlink(fs, index);
    ss_save_release(fs, index);
    return joined;
}

/* Makes sure that the family of tid has a save of name that can be opened for writing, so that the kernel's second walk
 * (after -ESTALE) finds it. own: see redirect. */
static int announce(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid, bool trusts_content, int own)
{
    uint32_t index;
    int r;

    do {
        uint64_t next = ss_save_serial(fs);
        if (ss_join_save(fs, dir, name, tid, trusts_content))
            return 0;
        int base = base_or_own(fs, dir, name, trusts_content, own);
        if (base < 0)
            return base;
        r = ss_save_begin(fs, tid, dir, name, base, false, next, &index);
    } while (r == -EAGAIN); /* perhaps by the family: two saves would each have a version of its own */
    if (r == 0)
        ss_save_release(fs, index);
    return r;
}

/* own: a descriptor of what the caller had looked up (O_PATH will do), or -1. */
static int redirect(struct ss_fs *fs, uint32_t dir, const char *name, bool trusts_content, pid_t tid, int own)
{
    if (tid <= 0) {
        ss_log(LOG_WARNING, "%s: a process out of sight (another pid namespace) may not change an image", name);
        return -EPERM;
    }
    int r = announce(fs, dir, name, tid, trusts_content, own);
    return r == 0 || r == -ENOENT ? -ESTALE : r;
}

int ss_redirect_image(struct ss_fs *fs, struct ss_node *node, bool trusts_content, pid_t tid)
{
    struct ss_key key;

    ss_node_copy_key(fs, node, &key);
    return redirect(fs, key.dir, key.name, trusts_content, tid, node->fd);
}

int ss_redirect_save(struct ss_fs *fs, struct ss_save *save, bool trusts_content, pid_t tid)
{
    char target[NAME_MAX + 1];

    ss_save_place(fs, save, target);
    pthread_mutex_lock(&fs->tables);
    uint32_t dir = ss_save_where(save)->dir;
    pthread_mutex_unlock(&fs->tables);
    return redirect(fs, dir, target, trusts_content, tid, trusts_content ? -1 : ss_save_data(save));
}

void ss_note_begun_to(struct ss_fs *fs, uint32_t index)
{
    const struct ss_save *save = ss_save_at(fs, index);
    int draft = atomic_load(&save->draft);

    if (draft >= 0)
        ss_slot_note_begun_to_save(fcntl(draft, F_DUPFD_CLOEXEC, 0), index, save->serial, save->settle != SS_SETTLE_NO);
}

/* Drops the draft that the caller's family has of name. Returns 1 when there is none to drop: the image is meant; 2
 * when the image is meant as well. */
static int drop_save(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid)
{
    uint32_t index = ss_save_find(fs, ss_node_index(parent), name, tid);
    if (index == SS_NONE)
        return 1;
    /* Programs unlink what they failed to write; soon after a failure that is the draft. Later the image is meant,
     * which the family has seen under the name since. */
    bool image_meant =
        ss_gave_way(fs, index, parent, name) && ss_save_failed_for(ss_save_at(fs, index)) > CLEANUP_SECONDS;
    if (!image_meant)
        ss_note_begun_to(fs, index);
    int r = image_meant ? 1 : ss_judge_drop(fs, index);
    ss_save_release(fs, index);
    return r == -ESTALE ? 1 : r;
}

/* Did a worker that died do this unlink already? */
static bool unlinked_before(struct ss_fs *fs, int dir, const char *name)
{
    struct stat st;
    bool to_draft;
    int pin;

    if (!ss_slot_was_begun(&pin) || pin < 0 || fstat(pin, &st) < 0)
        return false;
    uint32_t index = ss_slot_was_begun_to(fs, &to_draft);
    if (!to_draft)
        return !ss_draft_still_named(dir, name, pin);
    if (st.st_nlink == 0 && index != SS_NONE)
        ss_judge_drop(fs, index); /* perhaps it was about to be noted */
    return st.st_nlink == 0;
}

static int do_unlink(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid)
{
    int dir = ss_dir_fd(fs, parent);
    if (dir < 0)
        return dir;
    if (ss_draft_reserved(name))
        return -EPERM;
    bool dropped_before = unlinked_before(fs, dir, name);
    if (dropped_before && !ss_slot_was_for_both())
        return 0;
    int r = dropped_before ? 2 : drop_save(fs, parent, name, tid);
    bool dropped = r == 2;
    if (r > 0) {
        int image = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (image >= 0) /* else what was noted of the draft stays true */
            ss_slot_note_begun(image);
        r = ss_image_unlink(dir, name);
    }
    return dropped && r == -ENOENT ? 0 : r;
}

void ss_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    pid_t tid = fuse_req_ctx(req)->pid;

    int r = ss_settle_wait_name(ss_fs(req), req, ss_node_index(parent), name, tid);
    fuse_reply_err(req, r < 0 ? -r : -do_unlink(ss_fs(req), parent, name, tid));
}
