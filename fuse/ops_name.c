/* Names: who sees what under a name, and what unlink and rename do to images and drafts. */
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
    bool may = !fs->shared_directory && atomic_load(&fs->names_held) == 0;
    bool unchanged = !ss_save_is_at(fs, dir, name) && atomic_load(&fs->save_changes) == before;
    return may && unchanged ? SS_NAME_TIMEOUT_MS / 1000.0 : 0.0;
}

/* What the kernel remembers of an image goes along when that is renamed, which must not be to where there is a save. So
 * that takes a moment: no more is to be remembered, and what is gets too old. Returns whether names are held. */
static bool hold_names(struct ss_fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                       unsigned flags, pid_t tid)
{
    const struct timespec moment = {.tv_nsec = 2000000L * SS_NAME_TIMEOUT_MS};
    bool held = ss_save_is_at(fs, ss_node_index(newparent), newname) ||
                ((flags & RENAME_EXCHANGE) && ss_save_is_at(fs, ss_node_index(parent), name));
    uint32_t own = held ? ss_save_find(fs, ss_node_index(parent), name, tid) : SS_NONE;

    if (own != SS_NONE)
        ss_save_release(fs, own); /* it is a draft that is renamed, of which nothing is remembered */
    if (fs->shared_directory || !held || own != SS_NONE)
        return false;
    atomic_fetch_add(&fs->names_held, 1);
    nanosleep(&moment, NULL);
    return true;
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

static bool exists(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A save that failed over an old image: to its own family, too, the old image is what the name shows. Without an old
 * image the family goes on seeing what it wrote. */
static bool gave_way(struct ss_fs *fs, uint32_t index, fuse_ino_t parent, const char *name)
{
    int dir = ss_dir_fd(fs, parent);

    return ss_save_failed_for(ss_save_at(fs, index)) >= 0 && dir >= 0 && exists(dir, name);
}

int ss_lookup(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid, struct fuse_entry_param *entry)
{
    if (ss_draft_reserved(name))
        return -ENOENT;
    for (;;) {
        uint32_t save = ss_save_find(fs, ss_node_index(parent), name, tid);
        if (save == SS_NONE)
            return lookup_image(fs, parent, name, entry);
        int r = gave_way(fs, save, parent, name) ? lookup_image(fs, parent, name, entry)
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
    bool joined = !(trusts_content && gave_way(fs, index, ss_node_id(dir), name)) && ss_judge_join(fs, index, tid);
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

    if (ss_join_save(fs, dir, name, tid, trusts_content))
        return 0;
    int base = base_or_own(fs, dir, name, trusts_content, own);
    if (base < 0)
        return base;
    int r = ss_save_begin(fs, tid, dir, name, base, false, &index);
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

/* Something that must not be done twice is about to be done to the save's draft, if it has one. */
static void note_begun_to(struct ss_fs *fs, uint32_t index)
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
    bool image_meant = gave_way(fs, index, parent, name) && ss_save_failed_for(ss_save_at(fs, index)) > CLEANUP_SECONDS;
    if (!image_meant)
        note_begun_to(fs, index);
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

/* Gives a draft another target. Claimed by the caller. */
static int retarget(struct ss_fs *fs, uint32_t index, int old_dir, fuse_ino_t newparent, const char *newname,
                    bool exclusive)
{
    struct ss_save *save = ss_save_at(fs, index);
    struct ss_draft_record record;
    int draft = atomic_load(&save->draft), dir = ss_dir_fd(fs, newparent);

    if (dir < 0)
        return dir;
    if (exclusive && exists(dir, newname))
        return -EEXIST;
    ss_content_take_back(save); /* a crash half-way must not publish it under either name in the wrong place */
    if (ss_node_id(ss_save_where(save)->dir) != newparent &&
        renameat2(old_dir, save->draft_name, dir, save->draft_name, RENAME_NOREPLACE) < 0 &&
        !ss_draft_still_named(dir, save->draft_name, draft)) /* unless a worker that died has done it */
        return -errno;
    pthread_mutex_lock(&save->state);
    save->exclusive = exclusive;
    save->record.exclusive = exclusive;
    snprintf(save->record.target, sizeof save->record.target, "%s", newname);
    record = save->record;
    pthread_mutex_unlock(&save->state);
    ss_save_relink(fs, index, ss_node_index(newparent), newname);
    return ss_draft_write(draft, &record);
}

/* The image was renamed: an edit that has changed nothing yet goes with it. */
static void follow_image(struct ss_fs *fs, uint32_t index, fuse_ino_t newparent, const char *newname)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_save_claim(save);
    pthread_mutex_lock(&save->state);
    bool follows = save->status == SS_SAVE_OPEN && atomic_load(&save->draft) < 0;
    pthread_mutex_unlock(&save->state);
    if (follows)
        ss_save_relink(fs, index, ss_node_index(newparent), newname);
    ss_save_yield(save);
}

/* Renames the family's draft. Returns 1 when it has changed nothing yet, or is over: then the image is renamed. */
static int rename_save(struct ss_fs *fs, uint32_t index, fuse_ino_t newparent, const char *newname, unsigned flags)
{
    struct ss_save *save = ss_save_at(fs, index);
    char target[NAME_MAX + 1];
    int r;

    note_begun_to(fs, index);
    ss_save_claim(save);
    int old_dir = ss_save_place(fs, save, target);
    pthread_mutex_lock(&save->state);
    enum ss_save_status status = save->status;
    pthread_mutex_unlock(&save->state);
    if (atomic_load(&save->draft) < 0 || status == SS_SAVE_PUBLISHED || status == SS_SAVE_DROPPED)
        r = 1;
    else if (flags & RENAME_EXCHANGE)
        r = -EINVAL;
    else
        r = retarget(fs, index, old_dir, newparent, newname, flags & RENAME_NOREPLACE);
    ss_save_yield(save);
    return r;
}

/* What the family was writing under the name is replaced, like any file; what had failed there is kept with its reason.
 * Claimed by the caller. */
static void replace_save(struct ss_fs *fs, uint32_t index)
{
    if (ss_save_failed_for(ss_save_at(fs, index)) >= 0 && !ss_save_at(fs, index)->superseded)
        ss_save_unlink(fs, index);
    else
        ss_judge_drop_claimed(fs, index);
}

/* The same when a worker that died may have been about to do it. besides: what was renamed, if it is a draft. */
static void replace_own(struct ss_fs *fs, fuse_ino_t newparent, const char *newname, pid_t tid, uint32_t besides)
{
    uint32_t replaced = ss_save_find_besides(fs, ss_node_index(newparent), newname, tid, besides);

    if (replaced == SS_NONE)
        return;
    ss_save_claim(ss_save_at(fs, replaced));
    replace_save(fs, replaced);
    ss_save_yield(ss_save_at(fs, replaced));
    ss_save_release(fs, replaced);
}

/* Did a worker that died do this rename already? A draft's record may yet have to be written. */
static bool renamed_before(struct ss_fs *fs, int dir, const char *name, fuse_ino_t newparent, const char *newname,
                           uint32_t *renamed)
{
    struct ss_draft_record record;
    struct stat st;
    bool to_draft;
    int pin;

    *renamed = SS_NONE;
    if (!ss_slot_was_begun(&pin) || pin < 0 || fstat(pin, &st) < 0)
        return false;
    uint32_t index = ss_slot_was_begun_to(fs, &to_draft);
    /* An image, or a draft that was published since, under the one name or the other. */
    if (!to_draft || index == SS_NONE)
        return !ss_draft_still_named(dir, name, pin);
    struct ss_save *save = ss_save_at(fs, index);
    pthread_mutex_lock(&fs->tables);
    const struct ss_place *place = ss_save_where(save);
    bool done = ss_node_id(place->dir) == newparent && strcmp(place->target, newname) == 0;
    pthread_mutex_unlock(&fs->tables);
    if (!done)
        return false;
    *renamed = index;
    pthread_mutex_lock(&save->state);
    snprintf(save->record.target, sizeof save->record.target, "%s", newname);
    record = save->record;
    pthread_mutex_unlock(&save->state);
    if (!ss_draft_still_named(ss_dir_fd(fs, newparent), newname, pin)) /* not published since */
        ss_draft_write(pin, &record);
    return true;
}

/* Both may be decided before the one is replaced, if a worker dies in between. by SS_NONE: not after all. */
static void supersede(struct ss_fs *fs, uint32_t replaced, uint32_t by)
{
    if (replaced != SS_NONE)
        atomic_store(&ss_save_at(fs, replaced)->superseded, by == SS_NONE ? 0 : ss_save_at(fs, by)->serial);
}

/* What the names show now was renamed: the kernel goes on with the nodes that it has of it. */
static void rename_nodes(struct ss_fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                         const char *newname, unsigned flags)
{
    int dir = ss_dir_fd(fs, parent), newdir = ss_dir_fd(fs, newparent);
    struct stat st, other;

    if (fstatat(newdir, newname, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    bool exchanged = (flags & RENAME_EXCHANGE) && fstatat(dir, name, &other, AT_SYMLINK_NOFOLLOW) == 0;
    ss_node_rename(fs, &st, ss_node_index(parent), name, exchanged ? &other : NULL, ss_node_index(newparent), newname);
}

static int do_rename(struct ss_fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                     unsigned flags, pid_t tid)
{
    int dir = ss_dir_fd(fs, parent), newdir = ss_dir_fd(fs, newparent);

    if (dir < 0 || newdir < 0)
        return -ESTALE;
    if (ss_draft_reserved(name) || ss_draft_reserved(newname))
        return -EPERM;
    if (parent == newparent && strcmp(name, newname) == 0)
        return 0;
    uint32_t renamed;
    if (renamed_before(fs, dir, name, newparent, newname, &renamed)) {
        if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
            replace_own(fs, newparent, newname, tid, renamed);
        rename_nodes(fs, parent, name, newparent, newname, flags);
        return 0;
    }
    uint32_t index = ss_save_find(fs, ss_node_index(parent), name, tid);
    if (index != SS_NONE && gave_way(fs, index, parent, name)) {
        ss_save_release(fs, index);
        index = SS_NONE;
    }
    uint32_t replaced = SS_NONE; /* what the family itself is writing under the new name goes, like any file */
    if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
        replaced = ss_save_find_besides(fs, ss_node_index(newparent), newname, tid, index);
    if (replaced != SS_NONE)
        ss_save_claim(ss_save_at(fs, replaced)); /* so that it is not published in between */
    supersede(fs, replaced, index);
    int r = index == SS_NONE ? 1 : rename_save(fs, index, newparent, newname, flags);
    if (r != 0)
        supersede(fs, replaced, SS_NONE);
    if (r == 1) {
        ss_slot_note_begun(openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        r = renameat2(dir, name, newdir, newname, flags) < 0 ? -errno : 0;
        if (r == 0)
            rename_nodes(fs, parent, name, newparent, newname, flags);
        if (r == 0 && index != SS_NONE)
            follow_image(fs, index, newparent, newname);
    }
    if (r == 0 && replaced != SS_NONE)
        replace_save(fs, replaced);
    if (replaced != SS_NONE) {
        ss_save_yield(ss_save_at(fs, replaced));
        ss_save_release(fs, replaced);
    }
    if (index != SS_NONE)
        ss_save_release(fs, index);
    return r;
}

/* Of what the family has just closed the outcome is waited for when the draft alone will not do: over an old image both
 * have to leave the name, and only images can be exchanged. */
static int settle_own(struct ss_fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name, pid_t tid, bool exchanges)
{
    int dir = ss_dir_fd(fs, parent);
    if (dir < 0 || (!exchanges && !exists(dir, name)))
        return 0;
    uint32_t index = ss_save_find(fs, ss_node_index(parent), name, tid);
    if (index == SS_NONE)
        return 0;
    int r = ss_settle_wait_save(fs, req, index);
    ss_save_release(fs, index);
    return r;
}

void ss_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                  unsigned int flags)
{
    struct ss_fs *fs = ss_fs(req);
    pid_t tid = fuse_req_ctx(req)->pid;

    int r = ss_settle_wait_name(fs, req, ss_node_index(parent), name, tid);
    if (r == 0)
        r = ss_settle_wait_name(fs, req, ss_node_index(newparent), newname, tid);
    if (r == 0)
        r = settle_own(fs, req, parent, name, tid, flags & RENAME_EXCHANGE);
    if (r == 0 && (flags & RENAME_EXCHANGE))
        r = settle_own(fs, req, newparent, newname, tid, true);
    if (r == 0) {
        bool held = hold_names(fs, parent, name, newparent, newname, flags, tid);
        r = do_rename(fs, parent, name, newparent, newname, flags, tid);
        atomic_fetch_sub(&fs->names_held, held);
    }
    fuse_reply_err(req, -r);
}
