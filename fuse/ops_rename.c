/* Renames of images and drafts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "content.h"
#include "judge.h"
#include "ops.h"
#include "settle.h"
#include "core/rename.h"
#include "core/util.h"

/* How long the kernel may take to write down what it was told: threads that have the answer and no processor. */
#define MOMENT_NS 20000000L

bool ss_names_held(struct ss_fs *fs)
{
    uint64_t until = atomic_load(&fs->shared->names_held_until);

    return until != 0 && ss_now_ns() < until;
}

/* Of a rename, so that the next one of the same thread is not taken for its second try. */
static uint64_t sum_of(fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname)
{
    uint64_t sum = parent * UINT64_C(0x9e3779b97f4a7c15) ^ newparent;

    for (const char *c = name; *c; c++)
        sum = (sum ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    sum = (sum ^ '/') * UINT64_C(0x100000001b3);
    for (const char *c = newname; *c; c++)
        sum = (sum ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    return sum;
}

/* A second walk that takes longer is none. What becomes of the name that is to be replaced is waited for on it. */
static uint64_t walk_ns(const struct ss_fs *fs)
{
    return 10 * SS_SECOND_NS + 20 * fs->grace_ns;
}

/* Takes down that tid is sent for a second walk; until it is done, no name is to be remembered. Returns true when it
 * was before: it has come from there. request: its number, for a worker may die and its request, the first one, come to
 * the next. */
static bool comes_again(struct ss_fs *fs, pid_t tid, uint64_t sum, uint64_t request)
{
    struct ss_walk *walks = fs->shared->walks;
    uint64_t now = ss_now_ns();
    uint32_t at = 0;

    pthread_mutex_lock(&fs->tables);
    for (uint32_t i = 0; i < SS_WALKS_MAX; i++)
        if (walks[i].since < walks[at].since)
            at = i; /* the oldest, or a free one */
    for (uint32_t i = 0; i < SS_WALKS_MAX; i++)
        if (walks[i].tid == tid && walks[i].sum == sum)
            at = i;
    bool known = walks[at].tid == tid && walks[at].sum == sum && now < walks[at].since + walk_ns(fs);
    if (!known)
        walks[at] = (struct ss_walk){.tid = tid, .sum = sum, .request = request};
    bool again = walks[at].request != request;
    walks[at].since = now;
    atomic_store(&fs->shared->names_held_until, now + walk_ns(fs));
    pthread_mutex_unlock(&fs->tables);
    return again;
}

static void end_walk(struct ss_fs *fs, pid_t tid, uint64_t sum)
{
    struct ss_walk *walks = fs->shared->walks;
    uint64_t youngest = 0;

    pthread_mutex_lock(&fs->tables);
    for (uint32_t i = 0; i < SS_WALKS_MAX; i++) {
        if (walks[i].tid == tid && walks[i].sum == sum)
            walks[i] = (struct ss_walk){0};
        youngest = walks[i].since > youngest ? walks[i].since : youngest;
    }
    atomic_store(&fs->shared->names_held_until, youngest ? youngest + walk_ns(fs) : 0);
    pthread_mutex_unlock(&fs->tables);
}

/* Does what the kernel remembers of the name have to be forgotten before the rename? Of a draft it remembers nothing.
 */
static bool matters(struct ss_fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                    unsigned flags, pid_t tid)
{
    if (fs->shared_directory)
        return false;
    bool saved = ss_save_is_at(fs, ss_node_index(newparent), newname) ||
                 ((flags & RENAME_EXCHANGE) && ss_save_is_at(fs, ss_node_index(parent), name));
    uint32_t own = saved ? ss_save_find(fs, ss_node_index(parent), name, tid) : SS_NONE;
    if (own != SS_NONE)
        ss_save_release(fs, own);
    return saved && own == SS_NONE;
}

/* Gives a draft another target. Claimed by the caller. */
static int retarget(struct ss_fs *fs, uint32_t index, int old_dir, fuse_ino_t newparent, const char *newname,
                    bool exclusive)
{
    struct ss_save *save = ss_save_at(fs, index);
    struct ss_draft_record record;
    int draft = atomic_load(&save->draft), dir = ss_dir_fd(fs, newparent), r;

    if (dir < 0)
        return dir;
    if (exclusive && ss_exists(dir, newname))
        return -EEXIST;
    ss_content_take_back(save); /* a crash half-way must not publish it under either name in the wrong place */
    if (ss_node_id(ss_save_where(save)->dir) != newparent &&
        (r = ss_rename_exclusive(old_dir, save->draft_name, dir, save->draft_name)) < 0 &&
        !ss_draft_still_named(dir, save->draft_name, draft)) /* unless a worker that died has done it */
        return r;
    pthread_mutex_lock(&save->state);
    save->exclusive = exclusive;
    save->record.exclusive = exclusive;
    save->record.base = (struct ss_draft_base){0}; /* what has the name now is meant to be replaced */
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

    ss_note_begun_to(fs, index);
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
    ss_save_claim(save); /* so that it is not published between the look and the record */
    pthread_mutex_lock(&save->state);
    snprintf(save->record.target, sizeof save->record.target, "%s", newname);
    record = save->record;
    pthread_mutex_unlock(&save->state);
    if (!ss_draft_still_named(ss_dir_fd(fs, newparent), newname, pin)) /* not published since */
        ss_draft_write(pin, &record);
    ss_save_yield(save);
    return true;
}

/* Both may be decided before the one is replaced, if a worker dies in between. by SS_NONE: not after all. */
static void supersede(struct ss_fs *fs, uint32_t replaced, uint32_t by)
{
    if (replaced != SS_NONE)
        atomic_store(&ss_save_at(fs, replaced)->superseded, by == SS_NONE ? 0 : ss_save_at(fs, by)->serial);
}

/* The same where it is an image that is renamed: told by its inode, for a worker may die after the rename. */
static void supersede_by_image(struct ss_fs *fs, uint32_t replaced, int dir, const char *name)
{
    struct stat st;

    if (replaced != SS_NONE && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        atomic_store(&ss_save_at(fs, replaced)->superseded_by_image, st.st_ino);
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
    if (index != SS_NONE && ss_gave_way(fs, index, parent, name)) {
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
        supersede_by_image(fs, replaced, dir, name);
        r = renameat2(dir, name, newdir, newname, flags) < 0 ? -errno : 0;
        if (r < 0 && replaced != SS_NONE)
            atomic_store(&ss_save_at(fs, replaced)->superseded_by_image, 0);
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

/* What the kernel remembers of an image goes along when that is renamed, which must not be to where there is a save. So
 * meanwhile no name is to be remembered, and the kernel is sent to walk the path once more (ESTALE), on which it asks
 * anew and is told so. */
static int rename_forgotten(struct ss_fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                            const char *newname, unsigned flags, pid_t tid)
{
    uint64_t sum = sum_of(parent, name, newparent, newname);
    struct timespec moment = {.tv_nsec = MOMENT_NS};
    pid_t walker = tid > 0 ? tid : -gettid();

    if (!comes_again(fs, walker, sum, ss_slot_request_number()) && tid > 0)
        return -ESTALE;
    if (tid <= 0) /* not to be told from others like it: until all is forgotten */
        moment.tv_sec = (time_t)SS_TIMEOUT;
    nanosleep(&moment, NULL);
    int r = do_rename(fs, parent, name, newparent, newname, flags, tid);
    if (walker < 0)
        end_walk(fs, walker, sum);
    return r;
}

/* Of what the family has just closed the outcome is waited for when the draft alone will not do: over an old image both
 * have to leave the name, and only images can be exchanged. */
static int settle_own(struct ss_fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name, pid_t tid, bool exchanges)
{
    int dir = ss_dir_fd(fs, parent);
    if (dir < 0 || (!exchanges && !ss_exists(dir, name)))
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
    int none;

    int r = ss_settle_wait_name(fs, req, ss_node_index(parent), name, tid);
    if (r == 0)
        r = ss_settle_wait_name(fs, req, ss_node_index(newparent), newname, tid);
    if (r == 0)
        r = settle_own(fs, req, parent, name, tid, flags & RENAME_EXCHANGE);
    if (r == 0 && (flags & RENAME_EXCHANGE))
        r = settle_own(fs, req, newparent, newname, tid, true);
    /* What was begun has come from its second walk, if it needed one. */
    if (r == 0 && !ss_slot_was_begun(&none) && matters(fs, parent, name, newparent, newname, flags, tid))
        r = rename_forgotten(fs, parent, name, newparent, newname, flags, tid);
    else if (r == 0)
        r = do_rename(fs, parent, name, newparent, newname, flags, tid);
    if (r != -ESTALE && ss_names_held(fs))
        end_walk(fs, tid, sum_of(parent, name, newparent, newname));
    fuse_reply_err(req, -r);
}
