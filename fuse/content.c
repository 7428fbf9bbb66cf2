#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ahead.h"
#include "core/copy.h"
#include "cred.h"
#include "draft_index.h"
#include "verdict.h"
#include "writeout.h"
#include "core/proc.h"
#include "core/util.h"

static void describe(struct ss_fs *fs, struct ss_save *save, struct ss_draft_record *record)
{
    *record = (struct ss_draft_record){.state = SS_DRAFT_WRITING, .reason = SS_CLEAN};
    ss_save_place(fs, save, record->target);
    ss_draft_describe_writer(record, save->family.pid, save->family.start);
    pthread_mutex_lock(&save->state);
    record->exclusive = save->exclusive;
    pthread_mutex_unlock(&save->state);
}

/* Makes the draft known to everybody who reads save->draft. */
static void install(struct ss_fs *fs, struct ss_save *save, const struct ss_draft_record *record, int fd)
{
    pthread_mutex_lock(&save->state);
    save->record = *record;
    pthread_mutex_unlock(&save->state);
    atomic_store(&save->draft, fd);
    ss_draft_index_add(fs, save);
}

int ss_content_create(struct ss_fs *fs, struct ss_save *save, const struct fuse_ctx *caller, mode_t mode)
{
    struct ss_draft_record record;
    char target[NAME_MAX + 1];
    int fd = -1;

    describe(fs, save, &record);
    int dir = ss_save_place(fs, save, target);
    ss_cred_assume(fs, caller);
    int r = ss_draft_create(dir, mode & 07777, &record, save->draft_name, &fd);
    ss_cred_restore(fs);
    if (r == 0)
        install(fs, save, &record, fd);
    return r;
}

/* A draft with the owner, mode and labels of the image that it is to replace, and its first `keep` bytes; anew: nothing
 * of it is wanted. */
static int make_from_base(struct ss_fs *fs, struct ss_save *save, uint64_t keep, bool anew)
{
    struct ss_draft_record record;
    char target[NAME_MAX + 1];
    int fd = -1;

    describe(fs, save, &record);
    int r = anew ? 0 : ss_draft_base_of(save->base, &record.base);
    int dir = ss_save_place(fs, save, target);
    if (r == 0)
        r = ss_draft_create(dir, 0600, &record, save->draft_name, &fd);
    if (r < 0)
        return r;
    r = ss_copy_attributes(save->base, fd);
    if (r == 0 && keep > 0)
        r = ss_copy_data(save->base, fd, keep);
    if (r < 0) {
        unlinkat(dir, save->draft_name, 0);
        close(fd);
        return r;
    }
    install(fs, save, &record, fd);
    pthread_mutex_lock(&save->state);
    bool dropped = save->status == SS_SAVE_DROPPED;
    pthread_mutex_unlock(&save->state);
    if (dropped)
        unlinkat(dir, save->draft_name, 0); /* its family unlinked the name before: what is written now has none */
    return 0;
}

/* The draft's descriptor, making the draft when this is the first change. keep: bytes of the base that stay, at most.
 */
static int draft_for_change(struct ss_fs *fs, struct ss_save *save, off_t keep)
{
    struct stat st;
    int draft = atomic_load(&save->draft);

    if (draft >= 0)
        return draft;
    pthread_mutex_lock(&save->content);
    int r = 0;
    if (atomic_load(&save->draft) < 0) {
        r = fstat(save->base, &st) < 0 ? -errno : 0;
        if (r == 0)
            r = make_from_base(fs, save, (uint64_t)(st.st_size < keep ? st.st_size : keep), keep == 0);
    }
    pthread_mutex_unlock(&save->content);
    return r < 0 ? r : atomic_load(&save->draft);
}

/* tgid 0: a process that could not be told; from then on everybody's end matters. */
static void add_writer(struct ss_save *save, pid_t tgid)
{
    pthread_mutex_lock(&save->state);
    uint32_t i = 0;
    while (i < save->writer_count && i < SS_SAVE_WRITERS_MAX && save->writer[i] != tgid)
        i++;
    if (tgid == 0 || i == SS_SAVE_WRITERS_MAX) {
        save->writer_count = SS_SAVE_WRITERS_MAX + 1;
    } else if (i == save->writer_count) {
        save->writer[i] = tgid;
        save->writer_count++;
    }
    pthread_mutex_unlock(&save->state);
}

/* Remembers whose process writes; looks into /proc only when the thread is another than last time. */
static void note_writer(struct ss_save *save, struct ss_handle *handle, pid_t tid)
{
    struct ss_proc_status status;

    atomic_store(&handle->changed, true);
    if (atomic_load(&handle->flushed)) {
        pthread_mutex_lock(&save->state);
        save->unflushed += atomic_exchange(&handle->flushed, false);
        save->promised = false;
        pthread_mutex_unlock(&save->state);
    }
    if (tid <= 0 || atomic_exchange(&handle->last_writer, tid) == tid)
        return;
    add_writer(save, ss_proc_status(tid, &status) == 0 ? status.tgid : 0);
}

/* Opened before an error can be lost. Without one (no descriptors left) only that protection is lost. */
static int open_witness(struct ss_save *save)
{
    char path[64];
    int none = -1, witness = atomic_load(&save->witness);

    if (witness >= 0)
        return witness;
    snprintf(path, sizeof path, "/proc/self/fd/%d", atomic_load(&save->draft));
    witness = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
    if (witness < 0)
        witness = open(path, O_RDONLY | O_CLOEXEC);
    if (witness >= 0 && !atomic_compare_exchange_strong(&save->witness, &none, witness)) {
        close(witness);
        witness = none;
    }
    return witness;
}

static void note_sync_failure(struct ss_save *save, int error)
{
    pthread_mutex_lock(&save->state);
    if (save->verdict == SS_CLEAN) {
        snprintf(save->detail, sizeof save->detail, "fsync failed: %s", strerrordesc_np(error));
        atomic_store(&save->verdict, SS_SYNC_FAILED);
    }
    pthread_mutex_unlock(&save->state);
}

int ss_content_fsync(struct ss_save *save, bool data_only)
{
    int draft = atomic_load(&save->draft), witness = open_witness(save);

    pthread_mutex_lock(&save->syncing);
    int error = (data_only ? fdatasync(draft) : fsync(draft)) < 0 ? errno : 0;
    if (!error && atomic_load(&save->unsure) && witness >= 0 && fdatasync(witness) < 0)
        error = errno;
    if (error)
        note_sync_failure(save, error);
    if (!error && atomic_load(&save->verdict) == SS_SYNC_FAILED)
        error = EIO; /* another sync was told, so that this one was not */
    atomic_store(&save->unsure, false);
    pthread_mutex_unlock(&save->syncing);
    return -error;
}

void ss_content_take_back(struct ss_save *save)
{
    struct ss_draft_record record;
    int draft = atomic_load(&save->draft);

    pthread_mutex_lock(&save->state);
    bool committed = save->committed;
    save->committed = false;
    if (committed)
        save->record.state = SS_DRAFT_WRITING;
    record = save->record;
    pthread_mutex_unlock(&save->state);
    if (!committed)
        return;
    ss_draft_write(draft, &record);
    ss_content_fsync(save, false);
}

/* Bytes [start, end) may be others than before. The count moves after the change, so that a preparation that ran
 * meanwhile is seen to be stale. */
static void note_touched(struct ss_save *save, off_t start, off_t end)
{
    if (end > start)
        ss_ahead_forget(save, (uint64_t)start, (uint64_t)end);
    atomic_fetch_add(&save->changes, 1);
}

/* A part may have been done. */
static void note_failure(struct ss_save *save, off_t start, off_t end, int error)
{
    note_touched(save, start, end);
    pthread_mutex_lock(&save->state);
    ss_verdict_add_failure(save, (uint64_t)start, (uint64_t)end, error);
    pthread_mutex_unlock(&save->state);
    ss_content_take_back(save);
}

/* After a change of bytes [start, end) succeeded; end 0: nothing is written over. */
static void note_success(struct ss_save *save, off_t start, off_t end)
{
    note_touched(save, start, end);
    pthread_mutex_lock(&save->state);
    if (ss_save_failures(save)->count && end > start)
        ss_verdict_resolve_failure(save, (uint64_t)start, (uint64_t)end);
    pthread_mutex_unlock(&save->state);
    ss_content_take_back(save);
}

void ss_content_note_unseen(struct ss_save *save, struct ss_handle *handle, const struct ss_proc_close *how)
{
    atomic_store(&handle->changed, true);
    if (how->exiting || how->tgid == 0)
        add_writer(save, how->tgid);
    note_success(save, 0, 0);
}

ssize_t ss_content_write(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, bool page_cache,
                         const void *buf, size_t size, off_t off)
{
    size_t done = 0;
    off_t end = off + (off_t)size;

    note_writer(save, handle, page_cache ? 0 : tid);
    int fd = draft_for_change(fs, save, INT64_MAX);
    int r = fd < 0 ? fd : ss_pwrite_full(fd, buf, size, off, &done);
    if (done > 0) {
        note_success(save, off, off + (off_t)done);
        ss_writeout_written(fs, save, done);
    }
    if (r < 0)
        note_failure(save, off + (off_t)done, end, -r);
    return done > 0 ? (ssize_t)done : r;
}

void ss_content_drop_set_id(struct ss_save *save)
{
    int fd = ss_save_data(save);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return;
    mode_t drop = st.st_mode & (S_ISUID | (st.st_mode & S_IXGRP ? S_ISGID : 0));
    if (drop)
        fchmod(fd, st.st_mode & 07777 & ~drop);
}

/* What is written from now on has nothing to do with what was there. */
static void forget_past(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    save->was_partial = false;
    save->record.base = (struct ss_draft_base){0};
    atomic_store(&save->prepared.valid, false);
    pthread_mutex_unlock(&save->state);
}

int ss_content_truncate(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, off_t size)
{
    struct stat st;

    atomic_store(&handle->changed, true);
    int fd = draft_for_change(fs, save, size);
    if (fd < 0) {
        note_failure(save, 0, size > 0 ? size : 1, -fd);
        return fd;
    }
    if (fstat(fd, &st) < 0)
        return -errno;
    if (size == 0)
        forget_past(save);
    if (ftruncate(fd, size) < 0) {
        int error = errno;
        note_failure(save, st.st_size < size ? st.st_size : size, st.st_size < size ? size : st.st_size, error);
        return -error;
    }
    note_success(save, size, INT64_MAX); /* what failed behind the new end is no longer wanted */
    if (size == 0)
        forget_past(save); /* a preparation may have looked meanwhile */
    return 0;
}

/* Errors after which a program goes another way are no failed writes. */
static bool loses_data(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EIO || error == EFBIG || error == EROFS;
}

int ss_content_allocate(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, int mode,
                        off_t off, off_t len)
{
    bool promises_content = !(mode & FALLOC_FL_KEEP_SIZE) || (mode & FALLOC_FL_PUNCH_HOLE);
    bool zeroes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);

    note_writer(save, handle, tid);
    int fd = draft_for_change(fs, save, INT64_MAX);
    int error = fd < 0 ? -fd : 0;
    if (!error && fallocate(fd, mode, off, len) < 0)
        error = errno;
    if (!error)
        note_success(save, off, zeroes ? off + len : 0);
    else if (loses_data(error) && promises_content)
        note_failure(save, off, off + len, error);
    else if (loses_data(error))
        note_touched(save, off, off + len);
    return -error;
}

ssize_t ss_content_copy(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, int from,
                        off_t from_off, off_t off, size_t len)
{
    off_t start = off;

    note_writer(save, handle, tid);
    int fd = draft_for_change(fs, save, INT64_MAX);
    ssize_t n = fd < 0 ? -1 : copy_file_range(from, &from_off, fd, &off, len, 0);
    int error = fd < 0 ? -fd : errno;
    if (n > 0) {
        note_success(save, start, start + n);
        ss_writeout_written(fs, save, (size_t)n);
    } else if (n < 0 && loses_data(error))
        note_failure(save, start, start + (off_t)len, error);
    return n < 0 ? -error : n;
}

int ss_content_sync(struct ss_fs *fs, struct ss_save *save, bool data_only)
{
    return atomic_load(&save->draft) < 0 ? 0 : ss_ahead_fsync(fs, save, data_only);
}

int ss_content_set_times(struct ss_save *save, const struct timespec times[2])
{
    struct ss_stamp before = ss_verdict_written(save);

    pthread_mutex_lock(&save->state);
    bool current = ss_verdict_is_current(save, &before);
    pthread_mutex_unlock(&save->state);
    if (futimens(ss_save_data(save), times) < 0)
        return -errno;
    /* Who still writes unseen will close a descriptor yet, and that counts as a change anyway. */
    struct ss_stamp after = ss_verdict_written(save);
    pthread_mutex_lock(&save->state);
    if (current)
        save->prepared.written = after;
    pthread_mutex_unlock(&save->state);
    return 0;
}
