#include "prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ahead.h"
#include "content.h"
#include "verdict.h"
#include "core/seal.h"

/* The descriptor is the one that was open since creation, so that every write-back error is seen. */
static int sync_data(void *save)
{
    return ss_content_fsync(save, true);
}

static int sync_and_digest(struct ss_fs *fs, struct ss_save *save, uint64_t size, int *synced, struct ss_seal *seal)
{
    struct ss_digest_run how = {.drops = atomic_load(&save->unbuffered), .memo = ss_ahead_known(save)};

    return ss_seal_make_synced(atomic_load(&save->draft), size, fs->digest_full, save->record.writer, &how, sync_data,
                               save, synced, seal);
}

/* When the format's mark went from "partial" to "done" in this very save, its writer has committed it: a crash between
 * here and the rename may then be repaired by publishing it. The seal's whole digest proves at that time that every
 * byte is there. */
static int write_commitment(struct ss_fs *fs, struct ss_save *save, const struct ss_format_probe *probe, bool synced)
{
    struct ss_draft_record record;

    if (!synced && fs->digest_full && probe->completion == SS_COMPLETION_DONE) {
        int r = ss_content_fsync(save, true); /* before anything says, to whomever, that it is on the disk */
        if (r < 0)
            return r;
    }
    pthread_mutex_lock(&save->state);
    bool commits =
        fs->digest_full && save->was_partial && probe->completion == SS_COMPLETION_DONE && save->verdict == SS_CLEAN;
    if (commits) {
        save->committed = true;
        save->record.state = SS_DRAFT_PREPARED;
    }
    record = save->record;
    pthread_mutex_unlock(&save->state);
    if (!commits)
        return 0;
    int r = ss_draft_write(atomic_load(&save->draft), &record);
    pthread_mutex_lock(&save->state);
    bool taken_back = !save->committed; /* meanwhile, so perhaps before this was written */
    record = save->record;
    pthread_mutex_unlock(&save->state);
    return taken_back ? ss_draft_write(atomic_load(&save->draft), &record) : r;
}

/* What is to be found after a crash needs its hidden name to be durable as well. */
static int sync_commitment(struct ss_fs *fs, struct ss_save *save)
{
    char target[NAME_MAX + 1];

    pthread_mutex_lock(&save->state);
    bool committed = save->committed;
    pthread_mutex_unlock(&save->state);
    return committed ? ss_draft_sync_dir(ss_save_place(fs, save, target)) : 0;
}

static int seal_draft(struct ss_fs *fs, struct ss_save *save, uint64_t size, const struct ss_format_probe *probe)
{
    struct ss_seal seal;
    int fd = atomic_load(&save->draft), synced;

    int r = sync_and_digest(fs, save, size, &synced, &seal);
    if (synced < 0)
        return synced;
    if (r == -ENODATA)
        return 0; /* cut while it was read: somebody still changes it, and this preparation is stale */
    if (r == 0)
        r = ss_seal_write(fd, &seal);
    if (r == 0)
        r = write_commitment(fs, save, probe, synced == 0);
    if (r < 0)
        return r;
    r = ss_content_fsync(save, false); /* the attributes */
    if (atomic_load(&save->unbuffered))
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return r < 0 ? r : sync_commitment(fs, save);
}

/* The kernel wrote the draft by itself, so that we know of no write that failed. What can be seen:
 * whether the disk is full, and the format's own mark. Returns 0, or -errno and what that is. */
static int check_unseen(struct ss_fs *fs, struct ss_save *save, uint64_t size, enum ss_completion completion,
                        enum ss_finding *finding)
{
    char target[NAME_MAX + 1];

    if (completion == SS_COMPLETION_PARTIAL)
        return 0;                 /* there is more to come */
    ss_content_drop_set_id(save); /* nor who wrote */
    int r = ss_draft_probe_space(ss_save_place(fs, save, target), atomic_load(&save->draft));
    if (r == -ENOSPC || r == -EDQUOT) { /* writes may have failed, and no later look can tell that they did not */
        pthread_mutex_lock(&save->state);
        ss_verdict_add_failure(save, 0, INT64_MAX, -r);
        pthread_mutex_unlock(&save->state);
        return r;
    }
    if (size > 0 && completion != SS_COMPLETION_DONE) {
        *finding = SS_WRITES_UNSEEN;
        return -EINVAL;
    }
    return 0;
}

static int prepare_changed(struct ss_fs *fs, struct ss_save *save, uint64_t changes, enum ss_finding *finding)
{
    struct ss_prepared prepared = {.changes = changes};
    struct ss_format_probe probe;
    struct stat st;
    int r = 0, fd = atomic_load(&save->draft);

    if (fstat(fd, &st) < 0)
        return -errno;
    r = ss_format_probe_fd(fd, (uint64_t)st.st_size, &probe);
    if (r < 0)
        return r;
    prepared.written = ss_stamp_of_content(&st);
    prepared.completion = probe.completion;
    snprintf(prepared.why, sizeof prepared.why, "%s", probe.why);
    if (atomic_load(&save->backing) != 0)
        r = check_unseen(fs, save, (uint64_t)st.st_size, probe.completion, finding);
    if (r == 0 && st.st_size == 0)
        r = ss_seal_remove(fd); /* an empty file is published unsealed: there is nothing to vouch for */
    else if (r == 0 && probe.completion != SS_COMPLETION_PARTIAL)
        r = seal_draft(fs, save, (uint64_t)st.st_size, &probe);
    if (r < 0)
        return r;

    pthread_mutex_lock(&save->state);
    atomic_store(&save->prepared.valid, false);
    save->was_partial |= probe.marked_partial && changes == atomic_load(&save->changes);
    save->prepared = prepared;
    atomic_store(&save->prepared.valid, true);
    pthread_mutex_unlock(&save->state);
    return 0;
}

int ss_prepare(struct ss_fs *fs, struct ss_save *save)
{
    enum ss_finding finding = SS_SYNC_FAILED;

    pthread_mutex_lock(&save->preparing);
    uint64_t changes = atomic_load(&save->changes); /* before anything is read: a change meanwhile makes this stale */
    struct ss_stamp now = ss_verdict_written(save);
    pthread_mutex_lock(&save->state);
    bool current = ss_verdict_is_current(save, &now);
    pthread_mutex_unlock(&save->state);
    int r = current ? 0 : prepare_changed(fs, save, changes, &finding);
    pthread_mutex_lock(&save->state);
    save->refused_as = finding;
    save->refused = -r;
    save->refused_changes = changes;
    pthread_mutex_unlock(&save->state);
    pthread_mutex_unlock(&save->preparing);
    return r;
}
