#include "rival.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "settle.h"
#include "verdict.h"

#define PROMISED_MS 200 /* between its last close() and the kernel's RELEASE a save is in nobody's hands */

/* The closing task may be inside execve, so nothing is asked about it. */
void ss_rival_wait(struct ss_fs *fs, fuse_req_t req, const struct ss_handle *handle)
{
    struct ss_save *save = ss_save_at(fs, handle->save);
    char target[NAME_MAX + 1];

    if (!handle->writes || !req)
        return;
    pthread_mutex_lock(&fs->tables);
    uint32_t dir = ss_save_where(save)->dir;
    memcpy(target, ss_save_where(save)->target, sizeof target);
    pthread_mutex_unlock(&fs->tables);
    ss_settle_wait_name(fs, req, dir, target, 0);
}

/* With tables held. With commit=exit one that settles may do so as long as its program lives. */
static bool is_promised(struct ss_fs *fs, struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool is_near = save->settle == SS_SETTLE_NO || fs->commit == SS_COMMIT_SETTLE;
    bool promised = save->promised && save->status == SS_SAVE_OPEN && is_near;
    pthread_mutex_unlock(&save->state);
    return promised;
}

static void set_promised(struct ss_save *save, bool promised)
{
    pthread_mutex_lock(&save->state);
    save->promised = promised;
    pthread_mutex_unlock(&save->state);
}

/* Promises it the name, unless another one has that promise; with regardless also then. */
static bool promise(struct ss_fs *fs, uint32_t index, bool regardless)
{
    struct ss_save *save = ss_save_at(fs, index);
    bool free = true;

    pthread_mutex_lock(&fs->tables);
    const struct ss_place *place = ss_save_where(save);
    for (uint32_t other = ss_save_first_at(fs, place->dir, place->target); free && !regardless && other != SS_NONE;
         other = ss_save_next_at(fs, other))
        free = other == index || !is_promised(fs, ss_save_at(fs, other));
    if (free)
        set_promised(save, true);
    pthread_mutex_unlock(&fs->tables);
    return free;
}

static bool may_not_replace(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool bound = save->exclusive || save->record.base.ino != 0;
    pthread_mutex_unlock(&save->state);
    return bound;
}

/* What the rename would fail with, as far as it can be known while close() can still return it. */
static int look_at_target(struct ss_fs *fs, struct ss_save *save)
{
    char target[NAME_MAX + 1];
    struct stat st;

    int dir = ss_save_place(fs, save, target), r = 0;
    if (fstatat(dir, target, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    bool may_replace = ss_draft_may_replace(dir, atomic_load(&save->draft), target);
    pthread_mutex_lock(&save->state);
    const struct ss_draft_base base = save->record.base;
    pthread_mutex_unlock(&save->state);
    bool lost = ss_draft_base_lost(dir, target, &base);
    pthread_mutex_lock(&save->state);
    if (S_ISDIR(st.st_mode)) {
        ss_verdict_spoil(save, SS_PUBLISH_FAILED, "there is a directory of that name");
        r = -EISDIR;
    } else if (save->exclusive) {
        ss_verdict_spoil(save, SS_NAME_TAKEN, "the name existed when it was closed");
        r = -EEXIST;
    } else if (lost) {
        ss_verdict_spoil(save, SS_NAME_TAKEN, SS_DRAFT_BASE_LOST);
        r = -EEXIST;
    } else if (!may_replace) {
        ss_verdict_spoil(save, SS_PUBLISH_FAILED, "the image of that name is another user's, in a sticky directory");
        r = -EPERM;
    }
    pthread_mutex_unlock(&save->state);
    return r;
}

int ss_rival_decide(struct ss_fs *fs, fuse_req_t req, const struct ss_handle *handle)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct ss_save *save = ss_save_at(fs, handle->save);
    bool bound = may_not_replace(save);

    if (bound)
        ss_rival_wait(fs, req, handle); /* our own preparation may have taken long */
    for (int i = 0; !promise(fs, handle->save, !bound || i >= PROMISED_MS); i++) {
        nanosleep(&pause, NULL);
        ss_rival_wait(fs, req, handle);
    }
    /* Only now: whoever had the promise before us has its name by now, or not. */
    int r = look_at_target(fs, save);
    if (r < 0)
        set_promised(save, false);
    return r;
}
