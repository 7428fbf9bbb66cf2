#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"
#include "log.h"
#include "notify.h"
#include "prepare.h"
#include "settle.h"
#include "verdict.h"
#include "core/xattr.h"

static bool is_dropped(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool dropped = save->status == SS_SAVE_DROPPED;
    pthread_mutex_unlock(&save->state);
    return dropped;
}

int ss_judge_flush(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid)
{
    struct ss_proc_close how;
    uint64_t size;
    bool last;

    if (!handle->writes)
        return 0;
    ss_proc_closing(tid, &how);
    if (atomic_load(&save->backing) != 0)
        ss_content_note_unseen(save, handle, &how);
    if (atomic_load(&handle->changed) || ss_verdict_is_party(save, how.tgid)) /* else he has only looked */
        ss_party_note(fs, save, &how);
    int r = ss_verdict_note_close(save, handle, &how, &last);
    if (atomic_load(&save->draft) < 0 || is_dropped(save))
        return r;
    if (r < 0) {
        ss_content_take_back(save);
        return r;
    }
    if (how.finding == SS_CLEAN && ss_verdict_stopped_at_limit(save, how.tgid, &size)) {
        pthread_mutex_lock(&save->state);
        ss_verdict_add_failure(save, size, size + 1, EFBIG);
        pthread_mutex_unlock(&save->state);
        ss_content_take_back(save);
        return -EFBIG;
    }
    if (how.exiting && !ss_verdict_is_party(save, how.tgid))
        return 0; /* a child that merely inherited the descriptor; if it was the last holder, RELEASE has it prepared */
    if (!last)
        return 0; /* while others still write, the slow part would be done in vain; the last of them does it */
    r = ss_prepare(fs, save);
    if (r == 0)
        r = ss_verdict_unpublishable(save);
    if (r < 0)
        ss_content_take_back(save);
    return r < 0 ? r : 1;
}

static void log_verdict(struct ss_save *save, const char *target, enum ss_finding finding, const char *detail)
{
    struct timespec now;
    struct stat st = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    fstat(ss_save_data(save), &st);
    double seconds = (double)(now.tv_sec - save->begun.tv_sec) + 1e-9 * (double)(now.tv_nsec - save->begun.tv_nsec);
    bool fine = finding == SS_CLEAN || finding == SS_DRAFT_WAITING;
    ss_log(fine ? LOG_NOTICE : LOG_WARNING, "%s: %s: %s; %lld bytes, %.3f s%s%s", target, ss_finding_text(finding)->id,
           *detail ? detail : ss_finding_text(finding)->sentence, (long long)st.st_size, seconds,
           finding == SS_CLEAN ? "" : "; draft ", finding == SS_CLEAN ? "" : save->draft_name);
}

/* Writes what the draft is now, on disk and in memory. */
static void set_record(struct ss_save *save, enum ss_draft_state state, enum ss_finding reason, const char *detail)
{
    struct ss_draft_record record;

    pthread_mutex_lock(&save->state);
    save->record.state = state;
    save->record.reason = reason;
    snprintf(save->record.detail, sizeof save->record.detail, "%s", detail);
    bool committed = save->committed;
    save->committed = false;
    record = save->record;
    pthread_mutex_unlock(&save->state);
    int r = ss_draft_write(atomic_load(&save->draft), &record);
    if (r == 0 && committed) /* rare enough to wait for, wherever we are: a crash must not publish it */
        r = ss_content_fsync(save, false);
    if (r < 0)
        ss_log(LOG_ERR, "%s: the record of draft %s could not be written: %s", record.target, save->draft_name,
               strerrordesc_np(-r));
}

static void set_status(struct ss_save *save, enum ss_save_status status)
{
    pthread_mutex_lock(&save->state);
    save->status = status;
    pthread_mutex_unlock(&save->state);
}

static void interrupt(struct ss_fs *fs, struct ss_save *save, enum ss_finding finding, const char *detail)
{
    char target[NAME_MAX + 1];
    struct timespec now;

    ss_save_place(fs, save, target);
    set_record(save, SS_DRAFT_INTERRUPTED, finding, detail);
    ss_draft_unlock(atomic_load(&save->draft));
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&save->state);
    save->status = SS_SAVE_INTERRUPTED;
    save->failed_at = now.tv_sec;
    pthread_mutex_unlock(&save->state);
    log_verdict(save, target, finding, detail);
}

/* Takes its own reference for the list. */
static void defer(struct ss_fs *fs, uint32_t index, bool sync_only)
{
    pthread_mutex_lock(&fs->tables);
    struct ss_save *save = ss_save_at(fs, index);
    ss_save_ref(fs, index);
    save->sync_only = sync_only;
    save->next_deferred = fs->deferred;
    fs->deferred = index;
    pthread_mutex_unlock(&fs->tables);
}

/* The draft has its name. */
static void finish_publication(struct ss_fs *fs, uint32_t index, struct ss_save *save, const char *target)
{
    ss_draft_unlock(atomic_load(&save->draft));
    pthread_mutex_lock(&fs->tables);
    save->sync_only = true; /* from here on a successor knows that the directory is yet to be synced */
    pthread_mutex_unlock(&fs->tables);
    set_status(save, SS_SAVE_PUBLISHED);
    pthread_mutex_lock(&fs->tables);
    uint64_t dir = ss_node_id(ss_save_where(save)->dir);
    pthread_mutex_unlock(&fs->tables);
    ss_save_unlink(fs, index);
    ss_notify_attributes(fs, dir); /* its times */
    log_verdict(save, target, SS_CLEAN, "");
    defer(fs, index, true);
}

static void publish(struct ss_fs *fs, uint32_t index, struct ss_save *save)
{
    char target[NAME_MAX + 1], detail[SS_DETAIL_MAX];

    int dir = ss_save_place(fs, save, target);
    pthread_mutex_lock(&save->state);
    bool exclusive = save->exclusive;
    const struct ss_draft_base base = save->record.base;
    pthread_mutex_unlock(&save->state);
    int r = ss_draft_publish(dir, save->draft_name, atomic_load(&save->draft), target, exclusive, &base);
    if (r < 0) {
        if (r == -EEXIST && !exclusive)
            snprintf(detail, sizeof detail, SS_DRAFT_BASE_LOST);
        else
            snprintf(detail, sizeof detail, "rename failed: %s", strerrordesc_np(-r));
        interrupt(fs, save, r == -EEXIST ? SS_NAME_TAKEN : SS_PUBLISH_FAILED, detail);
        return;
    }
    finish_publication(fs, index, save, target);
}

/* It has changed nothing, so that its draft is nothing but a copy of the image: whatever became of its writer, nothing
 * is lost with it. A clean save is published all the same: its mode or owner may have been changed. */
static bool is_mere_copy(struct ss_save *save, enum ss_finding finding)
{
    pthread_mutex_lock(&save->state);
    bool untouched = !save->created && atomic_load(&save->changes) == 0 && ss_save_failures(save)->count == 0;
    pthread_mutex_unlock(&save->state);
    return untouched && finding != SS_CLEAN;
}

/* What the record on disk says is "committed", and that must be taken back durably. */
static bool must_wait(struct ss_save *save, enum ss_finding finding, bool stale)
{
    pthread_mutex_lock(&save->state);
    bool committed = save->committed;
    pthread_mutex_unlock(&save->state);
    return stale || (committed && finding != SS_CLEAN);
}

void ss_judge_forget(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    char target[NAME_MAX + 1];

    if (save->draft_name[0])
        unlinkat(ss_save_place(fs, save, target), save->draft_name, 0);
    set_status(save, SS_SAVE_DROPPED);
    ss_save_unlink(fs, index);
}

/* The last handle for writing is closed. Claimed by the caller. Returns false when that needs slow work and may not
 * have it. */
static bool conclude(struct ss_fs *fs, uint32_t index, bool slow_allowed)
{
    struct ss_save *save = ss_save_at(fs, index);
    char detail[SS_DETAIL_MAX];
    bool stale;

    enum ss_finding finding = ss_verdict_of(save, detail, &stale);
    if (atomic_load(&save->draft) < 0) {
        set_status(save, SS_SAVE_DROPPED); /* changed nothing, or could not: the old image stays */
        ss_save_unlink(fs, index);
        if (finding == SS_WRITE_FAILED)
            ss_log(LOG_WARNING, "%s: %s: %s; no draft could be made", ss_save_where(save)->target,
                   ss_finding_text(finding)->id, detail);
        return true;
    }
    enum ss_superseding superseding = ss_save_superseding(fs, save);
    if (is_mere_copy(save, finding) || superseding == SS_SUPERSEDING_HERE) {
        ss_judge_forget(fs, index);
        return true;
    }
    if (finding == SS_CLEAN && superseding == SS_SUPERSEDING_GONE) {
        interrupt(fs, save, SS_NAME_TAKEN, "another save was renamed over it");
        return true;
    }
    if (!slow_allowed && must_wait(save, finding, stale))
        return false;
    if (stale) {
        int r = ss_prepare(fs, save);
        finding = ss_verdict_of(save, detail, &stale);
        if (finding == SS_CLEAN && (r < 0 || stale)) {
            finding = SS_SYNC_FAILED;
            snprintf(detail, sizeof detail, "it could not be sealed: %s", strerrordesc_np(r < 0 ? -r : EBUSY));
        }
    }
    if (finding == SS_CLEAN) {
        if (!ss_settle_begin(fs, index))
            publish(fs, index, save);
    } else if (finding == SS_FORMAT_INCOMPLETE) {
        set_record(save, SS_DRAFT_WAIT, SS_CLEAN, detail);
        log_verdict(save, save->record.target, SS_DRAFT_WAITING, detail);
    } else {
        interrupt(fs, save, finding, detail);
    }
    return true;
}

void ss_judge_release(struct ss_fs *fs, uint32_t index, struct ss_handle *handle)
{
    struct ss_save *save = ss_save_at(fs, index);
    bool empty = false;

    pthread_mutex_lock(&save->state);
    save->handles--;
    if (handle->writes) {
        save->writers--;
        save->unflushed -= !atomic_load(&handle->flushed);
        empty = ss_verdict_never_began(save, handle);
        if (!empty)
            ss_verdict_note_release(save, handle);
        save->last_closer = handle->closer;
    }
    bool last = handle->writes && ss_save_is_idle(save);
    pthread_mutex_unlock(&save->state);
    if (!last)
        return;

    ss_save_claim(save);
    pthread_mutex_lock(&save->state);
    bool over = ss_save_is_idle(save) && save->status == SS_SAVE_OPEN;
    pthread_mutex_unlock(&save->state);
    if (over && empty)
        ss_judge_forget(fs, index);
    else if (over && !conclude(fs, index, false)) {
        defer(fs, index, false); /* still claimed */
        return;
    }
    ss_save_yield(save);
}

void ss_judge_settled(struct ss_fs *fs, uint32_t index)
{
    if (!conclude(fs, index, false)) {
        defer(fs, index, false); /* still claimed, and still waited for */
        return;
    }
    ss_settle_end(fs, index);
    ss_save_yield(ss_save_at(fs, index));
}

static void sync_place(struct ss_fs *fs, struct ss_save *save)
{
    char target[NAME_MAX + 1];

    int r = ss_draft_sync_dir(ss_save_place(fs, save, target));
    if (r < 0)
        ss_log(LOG_ERR, "%s: the directory could not be synced after the rename: %s", target, strerrordesc_np(-r));
}

bool ss_judge_deferred(struct ss_fs *fs)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t index = fs->deferred;
    bool sync_only = false;
    if (index != SS_NONE) {
        struct ss_save *save = ss_save_at(fs, index);
        fs->deferred = save->next_deferred;
        sync_only = save->sync_only;
    }
    pthread_mutex_unlock(&fs->tables);
    if (index == SS_NONE)
        return false;

    struct ss_save *save = ss_save_at(fs, index);
    if (sync_only) {
        sync_place(fs, save);
        pthread_mutex_lock(&fs->tables);
        save->sync_only = false;
        pthread_mutex_unlock(&fs->tables);
    } else {
        ss_verdict_note_mapper(save);
        conclude(fs, index, true);
        ss_settle_end(fs, index);
        ss_save_yield(save);
    }
    ss_save_release(fs, index);
    return true;
}

/* Takes the draft of an interrupted save up again, if it is still ours to take: a tool may have salvaged or discarded
 * it. */
static int resume(struct ss_fs *fs, struct ss_save *save)
{
    char target[NAME_MAX + 1];
    int draft = atomic_load(&save->draft), dir = ss_save_place(fs, save, target);

    if (ss_draft_lock(draft) < 0)
        return -ESTALE;
    if (ss_draft_still_named(dir, save->draft_name, draft))
        return 0;
    ss_draft_unlock(draft);
    return -ESTALE;
}

bool ss_judge_join(struct ss_fs *fs, uint32_t index, pid_t tid)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_settle_before_reopen(fs, index);
    ss_save_claim(save);
    pthread_mutex_lock(&save->state);
    enum ss_save_status status = save->status;
    bool dead = save->verdict != SS_CLEAN;
    pthread_mutex_unlock(&save->state);
    bool joins = status == SS_SAVE_OPEN || (status == SS_SAVE_INTERRUPTED && !dead && resume(fs, save) == 0);
    if (joins && status == SS_SAVE_INTERRUPTED)
        set_status(save, SS_SAVE_OPEN);
    if (joins) {
        ss_settle_cancel(fs, index);
        ss_save_expect(fs, save, tid);
    }
    ss_save_yield(save);
    return joins;
}

static int open_for_writing(struct ss_fs *fs, uint32_t index, struct ss_save *save, bool truncates)
{
    pthread_mutex_lock(&save->state);
    enum ss_save_status status = save->status;
    bool dead = save->verdict != SS_CLEAN;
    pthread_mutex_unlock(&save->state);

    if (status == SS_SAVE_PUBLISHED || status == SS_SAVE_DROPPED)
        return -ESTALE;
    if (status == SS_SAVE_INTERRUPTED) {
        if ((dead && truncates) || resume(fs, save) < 0) {
            ss_save_unlink(fs, index); /* it stays on disk with its reason; the name is free for a new save */
            return -ESTALE;
        }
        set_status(save, SS_SAVE_OPEN);
    }
    if (atomic_load(&save->draft) >= 0 && save->record.state != SS_DRAFT_WRITING)
        set_record(save, SS_DRAFT_WRITING, SS_CLEAN, "");
    return 0;
}

int ss_judge_open(struct ss_fs *fs, uint32_t index, pid_t tid, bool writes, bool truncates)
{
    struct ss_save *save = ss_save_at(fs, index);

    if (writes)
        ss_settle_before_reopen(fs, index);
    ss_save_claim(save);
    int r = writes ? open_for_writing(fs, index, save, truncates) : 0;
    if (writes && r == 0)
        ss_settle_cancel(fs, index);
    pthread_mutex_lock(&save->state);
    if (writes)
        ss_save_expected_came(save, tid);
    if (r == 0) {
        if (!save->opened) {
            save->opened = true;
            atomic_store(&save->shown, atomic_fetch_add(&fs->shared->serial, 1)); /* after that: see ss_save_begin */
        }
        save->handles++;
        save->writers += writes;
        save->unflushed += writes;
        save->promised &= !writes;
    }
    pthread_mutex_unlock(&save->state);
    ss_save_yield(save);
    if (r == 0 && writes)
        ss_save_withdraw(fs, index, tid);
    return r;
}

int ss_judge_drop_claimed(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    char target[NAME_MAX + 1];
    int r = 0;

    pthread_mutex_lock(&save->state);
    enum ss_save_status status = save->status;
    bool settles = save->settle != SS_SETTLE_NO;
    pthread_mutex_unlock(&save->state);
    if (status == SS_SAVE_PUBLISHED || status == SS_SAVE_DROPPED) {
        r = -ESTALE;
    } else {
        pthread_mutex_lock(&save->content); /* nobody makes the draft just now */
        bool changed = atomic_load(&save->draft) >= 0;
        int dir = ss_save_place(fs, save, target);
        if (!changed)
            r = 1;
        else if (unlinkat(dir, save->draft_name, 0) < 0 && errno != ENOENT)
            r = -errno;
        if (r >= 0)
            set_status(save, SS_SAVE_DROPPED);
        pthread_mutex_unlock(&save->content);
        if (r >= 0) {
            ss_settle_cancel(fs, index);
            ss_save_unlink(fs, index);
            if (changed)
                ss_log(LOG_NOTICE, "%s: draft %s dropped by its writer", target, save->draft_name);
            if (settles)
                r = 2;
        }
    }
    return r;
}

int ss_judge_drop(struct ss_fs *fs, uint32_t index)
{
    ss_save_claim(ss_save_at(fs, index));
    int r = ss_judge_drop_claimed(fs, index);
    ss_save_yield(ss_save_at(fs, index));
    return r;
}

void ss_judge_forget_handle(struct ss_fs *fs, uint32_t index, struct ss_handle *handle)
{
    struct ss_save *save = ss_save_at(fs, index);

    pthread_mutex_lock(&save->state);
    save->handles--;
    if (handle->writes) {
        save->writers--;
        save->unflushed -= !atomic_load(&handle->flushed);
    }
    pthread_mutex_unlock(&save->state);
}

void ss_judge_lost_request(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    ss_verdict_spoil(save, SS_WRITE_FAILED, "savesealfs was restarted and a request was lost");
    pthread_mutex_unlock(&save->state);
}

/* The old worker died after the rename and before it was noted. */
static bool has_its_name(struct ss_fs *fs, struct ss_save *save, char target[NAME_MAX + 1])
{
    int dir = ss_save_place(fs, save, target), draft = atomic_load(&save->draft);

    return !ss_draft_still_named(dir, save->draft_name, draft) && ss_draft_still_named(dir, target, draft);
}

/* The old worker died while it made the draft: what there is of it is a part of a copy. */
static void remove_unfinished(struct ss_fs *fs, struct ss_save *save)
{
    char target[NAME_MAX + 1];

    if (save->draft_name[0])
        unlinkat(ss_save_place(fs, save, target), save->draft_name, 0);
    save->draft_name[0] = '\0';
}

/* The old worker may have been about to take the commitment on disk back. */
static void check_commitment(struct ss_save *save)
{
    struct ss_draft_record record;
    int draft = atomic_load(&save->draft);

    if (save->committed || save->status != SS_SAVE_OPEN || ss_draft_read(draft, &record) < 0 ||
        record.state != SS_DRAFT_PREPARED)
        return;
    ss_draft_write(draft, &save->record);
    fsync(draft);
}

void ss_judge_adopt(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    char target[NAME_MAX + 1];

    bool drafted = atomic_load(&save->draft) >= 0;
    bool idle = ss_save_is_idle(save) && save->opened && save->settle == SS_SETTLE_NO;
    if (drafted)
        check_commitment(save);
    else
        remove_unfinished(fs, save);
    if (save->status == SS_SAVE_PUBLISHED || save->status == SS_SAVE_DROPPED) {
        atomic_store(&save->settle, SS_SETTLE_NO);
        ss_save_unlink(fs, index);
    } else if (drafted && save->status == SS_SAVE_OPEN && has_its_name(fs, save, target)) {
        atomic_store(&save->settle, SS_SETTLE_NO);
        ss_xattr_remove(atomic_load(&save->draft), SS_DRAFT_XATTR);
        finish_publication(fs, index, save, target);
    } else if (drafted && save->record.state == SS_DRAFT_WAIT) {
        ss_draft_write(atomic_load(&save->draft), &save->record); /* perhaps it was about to be written */
    } else if (save->status == SS_SAVE_OPEN && idle && ss_verdict_was_never_closed(save)) {
        ss_judge_forget(fs, index);                               /* its CREATE comes again */
    } else if (save->status == SS_SAVE_OPEN && idle && drafted) { /* else there is time: an open may come again */
        ss_save_claim(save);
        if (!conclude(fs, index, false))
            defer(fs, index, false); /* still claimed */
        else
            ss_save_yield(save);
    }
}

void ss_judge_conclude(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    pthread_mutex_lock(&save->state);
    bool open = save->status == SS_SAVE_OPEN;
    pthread_mutex_unlock(&save->state);
    if (open)
        conclude(fs, index, true);
}

void ss_judge_abandon(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    pthread_mutex_lock(&save->state);
    bool waiting = save->status == SS_SAVE_OPEN && save->record.state == SS_DRAFT_WAIT;
    pthread_mutex_unlock(&save->state);
    if (waiting && atomic_load(&save->draft) >= 0)
        interrupt(fs, save, SS_FORMAT_INCOMPLETE, save->prepared.why);
}
