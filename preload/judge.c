#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "self.h"
#include "core/format.h"
#include "core/proc.h"
#include "core/seal.h"
#include "core/util.h"

#define OTHERS_MS 100

_Atomic bool ss_judge_any_left;
static bool needs_mark; /* set before there is a draft */

void ss_judge_need_mark(void)
{
    needs_mark = true;
}

/* A child that was forked meanwhile without a word has the descriptor, too: so lease and lock are taken off, not only
 * closed. */
static void give_back(struct ss_held *held, int fd)
{
    if (fd < 0)
        return;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    flock(fd, LOCK_UN);
    ss_drafts_judging(held, -1);
    close(fd);
}

/* A description of its own, whatever the mode of the file: it is ours, or we are root. Out of the way: the lowest
 * number is as a rule the one that was just closed, and a program may close it twice. */
static int open_again(const struct ss_held *held)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat st;

    int fd = openat(held->dir, held->name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(held->dir, held->name, flags);
    if (fd < 0 && errno == EACCES && fstat(held->witness, &st) == 0 &&
        fchmod(held->witness, (st.st_mode & 07777) | S_IRUSR) == 0) {
        fd = openat(held->dir, held->name, flags);
        int error = errno;
        fchmod(held->witness, st.st_mode & 07777);
        errno = error;
    }
    return fd < 0 ? -errno : ss_self_hide_fd(fd);
}

/* Keeps judges in several processes apart. A program may hold flock on its own file: then we go on without it, for two
 * judges at once find the same, and the second one's rename finds nothing. */
static void lock_out_others(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < OTHERS_MS && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        nanosleep(&pause, NULL);
}

static bool is_still_there(const struct ss_held *held)
{
    struct stat st;

    return fstatat(held->dir, held->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == held->dev &&
           st.st_ino == held->ino;
}

/* The draft for the time of its judgement, with nobody who has it open for writing. Returns a descriptor for give_back;
 * -EAGAIN when somebody has; -ESTALE when it has been judged by another process, or is gone. */
static int take(struct ss_held *held)
{
    SS_AUTO_CLOSE int fd = open_again(held);
    if (fd < 0)
        return fd == -ENOENT ? -ESTALE : fd;
    ss_drafts_judging(held, fd);
    int r = ss_draft_take_lease(fd);
    if (r == 0) {
        lock_out_others(fd);
        r = is_still_there(held) ? 0 : -ESTALE;
    }
    if (r < 0) {
        give_back(held, ss_steal_fd(&fd));
        return r;
    }
    return ss_steal_fd(&fd);
}

static void set_record(struct ss_held *held, int fd, enum ss_draft_state state, enum ss_finding reason,
                       const char *detail)
{
    held->record.state = state;
    held->record.reason = reason;
    snprintf(held->record.detail, sizeof held->record.detail, "%s", detail);
    int r = ss_draft_write(fd, &held->record);
    if (r == 0)
        r = fsync(fd) < 0 ? -errno : 0;
    if (r < 0)
        ss_self_complain("%s: the record of draft %s could not be written: %s", held->record.target, held->name,
                         strerrordesc_np(-r));
}

static int keep(struct ss_held *held, int fd, enum ss_finding reason, const char *detail, int error)
{
    ss_self_report("%s: kept as draft %s: %s", held->record.target, held->name, ss_finding_text(reason)->id);
    set_record(held, fd, SS_DRAFT_INTERRUPTED, reason, detail);
    held->over = true;
    return error;
}

static int keep_errno(struct ss_held *held, int fd, enum ss_finding reason, const char *what, int error)
{
    char detail[SS_DETAIL_MAX];

    snprintf(detail, sizeof detail, "%s: %s", what, strerrordesc_np(-error));
    return keep(held, fd, reason, detail, error);
}

static bool is_unchanged(const struct ss_held *held, const struct stat *st)
{
    const struct ss_stamp now = ss_stamp_of(st);
    return held->copied && ss_stamp_equal(&now, &held->copied_at);
}

static int sync_data(void *held)
{
    return fdatasync(((struct ss_held *)held)->witness) < 0 ? -errno : 0;
}

/* Data, digests, seal and record made durable. The witness has been open since the draft was made: what it is told of
 * write-back errors is all there were. */
static int seal(struct ss_held *held, int fd, uint64_t size, const struct ss_format_probe *probe, int *synced)
{
    struct ss_seal made;

    *synced = SS_NOT_SYNCED;
    if (size == 0)
        return ss_seal_remove(fd); /* an empty file is published unsealed: there is nothing to vouch for */
    int r = ss_seal_make_synced(fd, size, true, held->record.writer, NULL, sync_data, held, synced, &made);
    if (r < 0 || *synced < 0)
        return r;
    r = ss_seal_write(fd, &made);
    if (r < 0 || !held->was_partial || probe->completion != SS_COMPLETION_DONE)
        return r;
    if (*synced == SS_NOT_SYNCED)
        *synced = sync_data(held); /* what is promised is on the disk, and no error was told of it */
    if (*synced < 0)
        return 0;
    held->record.state = SS_DRAFT_PREPARED; /* a crash between here and the rename is repaired by publishing it */
    return ss_draft_write(fd, &held->record);
}

static void look_later(struct ss_held *held, const struct ss_stamp *seen)
{
    held->left_at = *seen;
    held->left = true;
    atomic_store(&ss_judge_any_left, true);
}

/* With judging held. seen: its content before it was found that others have it. taken: what take gave, or -1. The
 * creator notes in the record that it went well: nobody else could tell later. */
static void note_leaving(struct ss_held *held, const struct ss_stamp *seen, int taken)
{
    struct ss_draft_record record;

    look_later(held, seen);
    if (held->record.pid != getpid() || held->record.left)
        return;
    SS_AUTO_CLOSE int own = taken < 0 ? open_again(held) : -1;
    int fd = taken < 0 ? own : taken; /* which has them locked out already: one more description would wait for it */
    if (fd < 0)
        return;
    if (own >= 0)
        lock_out_others(own); /* an heir may end badly in this moment, and write that down */
    if (ss_draft_read(fd, &record) == 0 && record.state != SS_DRAFT_INTERRUPTED && is_still_there(held)) {
        record.left = true;
        ss_draft_write(fd, &record);
        held->record = record;
        held->copied = false; /* the stamp tells no more whether it is a mere copy: what was left is a save */
    }
    if (own >= 0)
        flock(own, LOCK_UN);
}

static struct ss_stamp content_of(const struct ss_held *held)
{
    struct stat st;

    if (fstat(held->witness, &st) < 0)
        return (struct ss_stamp){.size = -1};
    return ss_stamp_of_content(&st);
}

/* Does somebody wait to open it for writing? The kernel lets him after a while, lease or not. */
static bool is_wanted(int fd)
{
    return fcntl(fd, F_GETLEASE) != F_RDLCK;
}

static int publish(struct ss_held *held, int fd)
{
    if (is_wanted(fd)) {
        const struct ss_stamp now = content_of(held);
        note_leaving(held, &now, fd);
        return 0; /* he goes on with it, and closes last */
    }
    int r =
        ss_draft_publish(held->dir, held->name, fd, held->record.target, held->record.exclusive, &held->record.base);

    if (r == -EEXIST)
        return keep(held, fd, SS_NAME_TAKEN, held->record.exclusive ? "the name exists by now" : SS_DRAFT_BASE_LOST, r);
    if (r < 0)
        return keep_errno(held, fd, SS_PUBLISH_FAILED, "rename failed", r);
    held->over = true;
    ss_self_report("%s: published", held->record.target);
    return ss_draft_sync_dir(held->dir);
}

/* What other processes that know the draft have written into its record meanwhile. False when one has judged it. */
static bool refresh(struct ss_held *held, int fd)
{
    struct ss_draft_record record;

    if (ss_draft_read(fd, &record) < 0)
        return true; /* what is remembered will be written over it */
    held->record = record;
    held->was_partial |= record.state == SS_DRAFT_WAIT;
    return record.state != SS_DRAFT_INTERRUPTED;
}

/* The creator has ended, and did not say before that it went well. */
static bool creator_vanished(const struct ss_draft_record *record)
{
    char boot[sizeof record->boot];
    struct ss_proc_status status;
    uint64_t start = 0;

    if (record->left || record->pid == getpid() || record->pid == 0)
        return false;
    ss_proc_boot_id(boot, sizeof boot);
    if (strcmp(boot, record->boot) != 0)
        return true;
    /* One that is dying has its number still. Status first: it never blocks, and stat of a task without memory can't.
     */
    if (ss_proc_status(record->pid, &status) < 0 || status.state == 'Z' || status.state == 'X' || !status.has_memory)
        return true;
    return ss_proc_start(record->pid, &start) < 0 || start != record->start;
}

/* A writer that ignores SIGXFSZ sees EFBIG; the only trace of it is a file that ends exactly at his limit. */
static int check_limit(struct ss_held *held, int fd, const struct stat *st)
{
    struct rlimit limit;
    char detail[SS_DETAIL_MAX];

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || (rlim_t)st->st_size != limit.rlim_cur)
        return 0;
    snprintf(detail, sizeof detail, "write failed: EFBIG at offset %lld", (long long)st->st_size);
    return keep(held, fd, SS_WRITE_FAILED, detail, -EFBIG);
}

/* Nobody has it open for writing any more. */
static int judge(struct ss_held *held, int fd)
{
    struct ss_format_probe probe;
    struct stat st;

    if (!refresh(held, fd)) {
        held->over = true;
        return -EIO;
    }
    if (fstat(fd, &st) < 0)
        return -errno;
    if (is_unchanged(held, &st)) {
        held->over = true;
        return unlinkat(held->dir, held->name, 0) < 0 ? -errno : 0;
    }
    if (creator_vanished(&held->record))
        return keep(held, fd, SS_WRITER_VANISHED, "its creator has ended, and how could not be seen", -EIO);
    if (held->failed)
        return keep_errno(held, fd, SS_WRITE_FAILED, "write failed", -held->failed);
    int r = check_limit(held, fd, &st);
    if (r < 0)
        return r;
    r = ss_format_probe_fd(fd, (uint64_t)st.st_size, &probe);
    if (r < 0)
        return keep_errno(held, fd, SS_IO_ERROR, "it could not be read", r);
    if (probe.completion == SS_COMPLETION_PARTIAL) {
        held->was_partial |= probe.marked_partial;
        set_record(held, fd, SS_DRAFT_WAIT, SS_CLEAN, probe.why);
        ss_draft_hold(held->witness); /* live, though nobody has it open for writing */
        return 0;
    }
    if (needs_mark && st.st_size > 0 && probe.completion != SS_COMPLETION_DONE)
        return keep(held, fd, SS_WRITES_UNSEEN, "", -EINVAL);
    r = ss_draft_probe_space(held->dir, fd);
    if (r == -ENOSPC || r == -EDQUOT)
        return keep_errno(held, fd, SS_WRITE_FAILED, "there is no space left, and whether a write failed was not seen",
                          r);
    int synced;
    r = seal(held, fd, (uint64_t)st.st_size, &probe, &synced);
    if (fsync(held->witness) < 0 && synced >= 0)
        synced = -errno;
    if (synced < 0)
        return keep_errno(held, fd, SS_SYNC_FAILED, "fsync failed", synced);
    if (r < 0)
        return keep_errno(held, fd, SS_SYNC_FAILED, "it could not be sealed", r);
    return publish(held, fd);
}

/* With judging held. Has its owner left it, perhaps a moment ago, and ended well? He may be a zombie still. */
static bool is_left(struct ss_held *held)
{
    struct ss_draft_record record;

    if (!held->record.left && ss_draft_read(held->witness, &record) == 0)
        held->record.left = record.left;
    return held->record.left;
}

/* With judging held. */
static int judge_if_last(struct ss_held *held)
{
    if (held->over)
        return held->ended_badly ? -EIO : 0;
    if (held->at_exit && held->owner != getpid() && kill(held->owner, 0) == 0 && !is_left(held))
        return 0; /* its owner will judge it */
    const struct ss_stamp seen = content_of(held);
    int fd = take(held);
    if (fd == -EAGAIN) /* somebody still writes; whoever closes last is asked again */
        note_leaving(held, &seen, -1);
    else if (fd == -ESTALE)
        held->over = true;
    else if (fd < 0) { /* no descriptor is free: at the next look, at the latest at the end of the process */
        look_later(held, &seen);
        held->unjudged = true;
    }
    int r = fd >= 0 ? judge(held, fd) : fd == -EAGAIN || fd == -ESTALE ? 0 : fd;
    give_back(held, fd);
    return r;
}

/* With judging held: what a close was told. The first is what counts. */
static void note_error(struct ss_held *held, int error)
{
    if (error < 0 && error != -EINTR && !held->failed)
        held->failed = -error;
}

int ss_judge_closed(struct ss_held *held, int error)
{
    pthread_mutex_lock(&held->judging);
    note_error(held, error);
    int r = judge_if_last(held);
    pthread_mutex_unlock(&held->judging);
    return r;
}

void ss_judge_failed(struct ss_held *held, int error)
{
    pthread_mutex_lock(&held->judging);
    note_error(held, error);
    pthread_mutex_unlock(&held->judging);
}

void ss_judge_postpone(struct ss_held *held, int error)
{
    pthread_mutex_lock(&held->judging);
    note_error(held, error);
    held->postponed |= held->fds == 0;
    pthread_mutex_unlock(&held->judging);
}

int ss_judge_left(struct ss_held *held)
{
    int r = 0;

    pthread_mutex_lock(&held->judging);
    bool waits = held->left && !held->over && held->fds == 0;
    int fd = waits ? take(held) : -EAGAIN;
    if (fd == -ESTALE)
        held->over = true;
    /* Nobody has written since our own clean close: whoever had it besides was a mere heir, and may end as it likes. */
    const struct ss_stamp now = content_of(held);
    if (fd >= 0 && now.size >= 0 && ss_stamp_equal(&now, &held->left_at))
        r = judge(held, fd);
    else if (waits && fd < 0 && fd != -ESTALE)
        r = -EAGAIN; /* also for want of a descriptor */
    give_back(held, fd);
    pthread_mutex_unlock(&held->judging);
    return r;
}

int ss_judge_drop(struct ss_held *held)
{
    pthread_mutex_lock(&held->judging);
    int r = held->over || unlinkat(held->dir, held->name, 0) == 0 ? 0 : -errno;
    held->over |= r == 0;
    pthread_mutex_unlock(&held->judging);
    return r;
}

int ss_judge_rename(struct ss_held *held, const char *name, const char *canonical, bool exclusive)
{
    pthread_mutex_lock(&held->judging);
    struct ss_draft_record record = held->record;
    snprintf(record.target, sizeof record.target, "%s", name);
    record.exclusive = exclusive;
    record.base = (struct ss_draft_base){0}; /* what has the name now is meant to be replaced */
    int r = held->over ? -ENOENT : ss_draft_write(held->witness, &record);
    if (r == 0) {
        held->record = record;
        ss_drafts_rename(held, canonical);
    }
    pthread_mutex_unlock(&held->judging);
    return r;
}

void ss_judge_begins_anew(struct ss_held *held)
{
    struct ss_draft_record record;

    pthread_mutex_lock(&held->judging);
    if (!held->over && held->record.base.ino != 0 && ss_draft_read(held->witness, &record) == 0) {
        record.base = (struct ss_draft_base){0};
        if (ss_draft_write(held->witness, &record) == 0)
            held->record = record;
    }
    pthread_mutex_unlock(&held->judging);
}

static enum ss_finding describe_end(int status, char detail[SS_DETAIL_MAX])
{
    bool killed = WIFSIGNALED(status);

    snprintf(detail, SS_DETAIL_MAX, killed ? "writer killed by signal %d" : "writer exited with status %d",
             killed ? WTERMSIG(status) : WEXITSTATUS(status));
    return killed ? SS_WRITER_KILLED : SS_WRITER_EXITED;
}

/* With judging held. */
static void spoil(struct ss_held *held, int status)
{
    char detail[SS_DETAIL_MAX];
    enum ss_finding finding = describe_end(status, detail);

    if (!is_still_there(held)) { /* published by another process: what that does later changes nothing */
        held->over = true;
        return;
    }
    held->ended_badly = true;
    keep(held, held->witness, finding, detail, 0);
}

void ss_judge_exited(struct ss_held *held, int status)
{
    pthread_mutex_lock(&held->judging);
    bool wrote = held->record.pid == getpid() || ss_drafts_changed_since_fork(held);
    int fd = held->over || wrote ? -ESTALE : take(held);
    if (!held->over && (wrote || fd >= 0))
        spoil(held, W_EXITCODE(status, 0));
    give_back(held, fd);
    pthread_mutex_unlock(&held->judging);
}

void ss_judge_child_ended(struct ss_held *held, int status)
{
    bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    pthread_mutex_lock(&held->judging);
    if (!held->over && WIFSIGNALED(status) && held->has_heirs && ss_drafts_changed_since_fork(held)) {
        spoil(held, status);
    } else if (!held->over && held->left && held->fds == 0) {
        int fd = take(held);
        if (fd == -ESTALE)
            held->over = true;
        else if (fd >= 0 && well)
            judge(held, fd);
        else if (fd >= 0)
            spoil(held, status);
        give_back(held, fd);
    }
    pthread_mutex_unlock(&held->judging);
}
