#include "verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

void ss_verdict_spoil(struct ss_save *save, enum ss_finding finding, const char *detail)
{
    if (save->verdict != SS_CLEAN)
        return;
    snprintf(save->detail, sizeof save->detail, "%s", detail);
    atomic_store(&save->verdict, finding);
}

void ss_verdict_note_end(struct ss_save *save, enum ss_finding finding, int number)
{
    char detail[SS_DETAIL_MAX];

    if (finding == SS_WRITER_KILLED)
        snprintf(detail, sizeof detail, "writer killed by signal %d", number);
    else if (finding == SS_WRITER_EXITED)
        snprintf(detail, sizeof detail, "writer exited with status %d", number);
    else
        snprintf(detail, sizeof detail, "how the writer ended could not be seen");
    ss_verdict_spoil(save, finding, detail);
}

/* With state held. A process that merely inherited the descriptor may end as it likes; the opener and those who wrote
 * may not. */
static bool matters(const struct ss_save *save, pid_t tgid)
{
    if (tgid == 0 || tgid == save->family.pid || save->writer_count > SS_SAVE_WRITERS_MAX)
        return true;
    for (uint32_t i = 0; i < save->writer_count; i++)
        if (save->writer[i] == tgid)
            return true;
    return false;
}

bool ss_verdict_is_party(struct ss_save *save, pid_t tgid)
{
    pthread_mutex_lock(&save->state);
    bool party = matters(save, tgid);
    pthread_mutex_unlock(&save->state);
    return party;
}

bool ss_verdict_stopped_at_limit(struct ss_save *save, pid_t pid, uint64_t *size)
{
    struct rlimit limit;
    struct stat st;

    if (pid <= 0 || prlimit(pid, RLIMIT_FSIZE, NULL, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    if (fstat(atomic_load(&save->draft), &st) < 0 || (uint64_t)st.st_size != limit.rlim_cur)
        return false;
    *size = (uint64_t)st.st_size;
    return true;
}

int ss_verdict_note_close(struct ss_save *save, struct ss_handle *handle, const struct ss_proc_close *how, bool *last)
{
    int r = 0;

    pthread_mutex_lock(&save->state);
    handle->closer = how->tgid;
    save->closed_once = true;
    save->closed_changes = atomic_load(&save->changes);
    handle->close_seen = true;
    handle->close_finding = how->finding;
    handle->close_number = how->number;
    if (!atomic_exchange(&handle->flushed, true))
        save->unflushed--;
    if (how->finding != SS_CLEAN && matters(save, how->tgid))
        ss_verdict_note_end(save, how->finding, how->number);
    const struct ss_failure *failure = ss_failures_first(ss_save_failures(save));
    if (failure)
        r = -failure->error;
    else if (save->verdict == SS_NAME_TAKEN)
        r = -EEXIST;
    else if (save->verdict != SS_CLEAN && save->verdict != SS_WRITER_VANISHED)
        r = -EIO;
    *last = save->unflushed == 0;
    pthread_mutex_unlock(&save->state);
    return r;
}

void ss_verdict_add_failure(struct ss_save *save, uint64_t start, uint64_t end, int error)
{
    struct ss_failures *next = &save->failures[!save->failing];

    *next = *ss_save_failures(save);
    ss_failures_add(next, start, end, error);
    atomic_store(&save->failing, !save->failing);
}

void ss_verdict_resolve_failure(struct ss_save *save, uint64_t start, uint64_t end)
{
    struct ss_failures *next = &save->failures[!save->failing];

    *next = *ss_save_failures(save);
    ss_failures_resolve(next, start, end);
    atomic_store(&save->failing, !save->failing);
}

int ss_verdict_unpublishable(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool lost = save->verdict == SS_WRITER_VANISHED && save->prepared.completion != SS_COMPLETION_PARTIAL &&
                !ss_verdict_is_committed(save);
    lost |= save->verdict == SS_SYNC_FAILED; /* an early sync was told meanwhile */
    pthread_mutex_unlock(&save->state);
    return lost ? -EIO : 0;
}

struct ss_stamp ss_verdict_written(struct ss_save *save)
{
    struct stat st;

    if (atomic_load(&save->backing) == 0 || fstat(atomic_load(&save->draft), &st) < 0)
        return (struct ss_stamp){.size = -1};
    return ss_stamp_of_content(&st);
}

bool ss_verdict_is_current(const struct ss_save *save, const struct ss_stamp *now)
{
    return save->prepared.valid && save->prepared.changes == atomic_load(&save->changes) &&
           (atomic_load(&save->backing) == 0 || ss_stamp_equal(now, &save->prepared.written));
}

bool ss_verdict_is_committed(const struct ss_save *save)
{
    return save->prepared.completion == SS_COMPLETION_DONE && save->was_partial;
}

/* With state held: why it could not be sealed. */
static void describe_refusal(const struct ss_save *save, char detail[SS_DETAIL_MAX])
{
    if (save->refused_as == SS_WRITES_UNSEEN)
        snprintf(detail, SS_DETAIL_MAX, "-o format=libvirt, and this is no save image of libvirt");
    else
        snprintf(detail, SS_DETAIL_MAX, "it could not be sealed: %s", strerrordesc_np(save->refused));
}

enum ss_finding ss_verdict_of(struct ss_save *save, char detail[SS_DETAIL_MAX], bool *stale)
{
    struct ss_stamp now = ss_verdict_written(save);

    pthread_mutex_lock(&save->state);
    enum ss_finding finding = save->verdict;
    const struct ss_failure *failure = ss_failures_first(ss_save_failures(save));
    const struct ss_prepared *prepared = &save->prepared;
    bool current = ss_verdict_is_current(save, &now);

    snprintf(detail, SS_DETAIL_MAX, "%s", save->detail);
    if (finding == SS_WRITER_VANISHED && current && ss_verdict_is_committed(save))
        finding = SS_CLEAN; /* the format itself vouches for it */
    if (finding == SS_CLEAN && failure) {
        finding = SS_WRITE_FAILED;
        const char *name = strerrorname_np(failure->error);
        snprintf(detail, SS_DETAIL_MAX, "write failed: %s at offset %llu", name ? name : "error",
                 (unsigned long long)failure->start);
    }
    if (finding == SS_CLEAN && current && prepared->completion == SS_COMPLETION_PARTIAL) {
        finding = SS_FORMAT_INCOMPLETE;
        snprintf(detail, SS_DETAIL_MAX, "%s", prepared->why);
    }
    if (finding == SS_CLEAN && save->refused && save->refused_changes == atomic_load(&save->changes)) {
        /* Its writer was told that the save failed: a second try that succeeds must not publish it behind his back. */
        finding = save->refused_as;
        describe_refusal(save, detail);
    }
    *stale = finding == SS_CLEAN && !current;
    pthread_mutex_unlock(&save->state);
    return finding;
}

/* A descriptor that nobody ever closed and nothing was changed through was never anybody's: its thread was killed
 * inside open(), for example because another one called exec. */
static bool was_anybodys(const struct ss_handle *handle)
{
    return handle->close_seen || atomic_load(&handle->changed);
}

void ss_verdict_note_release(struct ss_save *save, const struct ss_handle *handle)
{
    if (!was_anybodys(handle))
        return;
    if (!handle->close_seen)
        ss_verdict_note_end(save, SS_WRITER_VANISHED, 0);
    else if (handle->close_finding != SS_CLEAN)
        ss_verdict_note_end(save, handle->close_finding, handle->close_number);
}

bool ss_verdict_was_never_closed(struct ss_save *save)
{
    struct stat st;
    int draft = atomic_load(&save->draft);

    return !save->closed_once && save->writers == 0 && save->writer_count == 0 && save->verdict == SS_CLEAN &&
           draft >= 0 && fstat(draft, &st) == 0 && st.st_size == 0;
}

bool ss_verdict_never_began(struct ss_save *save, const struct ss_handle *handle)
{
    return !handle->close_seen && ss_verdict_was_never_closed(save);
}

void ss_verdict_note_mapper(struct ss_save *save)
{
    struct ss_proc_close how;

    pthread_mutex_lock(&save->state);
    pid_t pid = save->last_closer;
    bool mapped = save->closed_changes != atomic_load(&save->changes);
    pthread_mutex_unlock(&save->state);
    if (!mapped)
        return; /* only the slow part was left out at that FLUSH */
    ss_proc_closing(pid, &how);
    if (how.finding == SS_CLEAN)
        return;
    pthread_mutex_lock(&save->state);
    ss_verdict_note_end(save, how.finding, how.number);
    pthread_mutex_unlock(&save->state);
}
