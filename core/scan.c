#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "entries.h"
#include "proc.h"
#include "util.h"

/* By enum ss_state; stable. */
static const char *const state_names[SS_STATE_COUNT] = {"sealed",  "unsealed",    "writing",
                                                        "waiting", "interrupted", "damaged"};

const char *ss_state_name(enum ss_state state)
{
    return state_names[state];
}

/* The id in a draft's name; NULL when the name is no draft's. */
static const char *draft_id(const char *name)
{
    if (!ss_draft_reserved(name))
        return NULL;
    const char *id = name + sizeof SS_DRAFT_PREFIX - 1;
    return strlen(id) == SS_DRAFT_ID_LEN && strspn(id, "0123456789abcdef") == SS_DRAFT_ID_LEN ? id : NULL;
}

static void set(struct ss_scan_entry *entry, enum ss_state state, enum ss_finding finding, const char *detail)
{
    entry->state = state;
    entry->finding = finding;
    snprintf(entry->detail, sizeof entry->detail, "%s", detail);
}

/* True only when it is certain: the record is of this host and boot, and its process is not there any more, or its
 * number belongs to a younger one. kill() is asked because /proc may be mounted to hide other users' processes. */
static bool writer_gone(const struct ss_draft_record *record)
{
    char boot[sizeof record->boot];
    char host[sizeof record->host] = "";
    uint64_t start;

    if (record->pid <= 0)
        return false;
    ss_proc_boot_id(boot, sizeof boot);
    if (gethostname(host, sizeof host - 1) < 0 || !*boot || strcmp(boot, record->boot) != 0 ||
        strcmp(host, record->host) != 0)
        return false;
    if (kill(record->pid, 0) < 0 && errno == ESRCH)
        return true;
    return record->start > 0 && ss_proc_start(record->pid, &start) == 0 && start != record->start;
}

/* A draft whose record can not be read is shown all the same: it takes room, and only its owner knows what it is. */
static int judge_recordless(int error, bool live, struct ss_scan_entry *entry)
{
    switch (error) {
    case -ENODATA:
    case -ENOTSUP:
        if (live) /* created a moment ago */
            set(entry, SS_STATE_WRITING, SS_DRAFT_IN_PROGRESS, "");
        else
            set(entry, SS_STATE_DAMAGED, SS_NOT_A_DRAFT, "it has a draft's name but no draft record");
        return 0;
    case -EBADMSG:
    case -E2BIG:
        set(entry, SS_STATE_DAMAGED, SS_SEAL_INVALID, "its draft record is malformed");
        break;
    case -EPROTONOSUPPORT:
        set(entry, SS_STATE_DAMAGED, SS_SEAL_TOO_NEW, "its draft record is of a newer version of Saveseal");
        break;
    default:
        return error;
    }
    if (live) {
        entry->state = SS_STATE_WRITING;
        entry->finding = SS_DRAFT_IN_PROGRESS;
    }
    return 0;
}

/* No lock is as good as a reason: whoever held it can not go on (and a restart must not pretend otherwise). */
static void judge_record(const struct ss_draft_record *record, bool live, bool sealed, struct ss_scan_entry *entry)
{
    /* A record may hold any id; one that means "all is well" is no reason, and must not pass for a good file. */
    if (record->state == SS_DRAFT_INTERRUPTED && ss_finding_text(record->reason)->class == SS_CLASS_INTACT)
        set(entry, SS_STATE_DAMAGED, SS_SEAL_INVALID, "its draft record is malformed");
    else if (record->state == SS_DRAFT_INTERRUPTED)
        set(entry, SS_STATE_INTERRUPTED, record->reason, record->detail);
    else if (record->state == SS_DRAFT_WAIT && live && !writer_gone(record))
        set(entry, SS_STATE_WAITING, SS_DRAFT_WAITING, record->detail);
    else if (record->state == SS_DRAFT_WAIT)
        set(entry, SS_STATE_INTERRUPTED, SS_FORMAT_INCOMPLETE, record->detail);
    else if (live)
        set(entry, SS_STATE_WRITING, SS_DRAFT_IN_PROGRESS, record->detail);
    else if (record->state == SS_DRAFT_PREPARED)
        set(entry, SS_STATE_INTERRUPTED, SS_DAEMON_DIED, "whole but for the rename: the next start publishes it");
    else
        set(entry, SS_STATE_INTERRUPTED, sealed ? SS_CLOSED_UNPUBLISHED : ss_draft_reason(record),
            record->preload && !sealed ? "its writer ended without closing it" : record->detail);
}

/* As far as a quick look tells: by size and header. */
static bool agrees_with_seal(int fd)
{
    struct ss_seal seal;
    enum ss_finding finding = SS_HEADER_MISMATCH;

    return ss_seal_read(fd, &seal) == 0 && ss_seal_check_header(fd, &seal, &finding) == 0 && finding == SS_INTACT;
}

static int judge_draft(int fd, struct ss_scan_entry *entry)
{
    struct ss_draft_record record;

    int live = ss_draft_is_live(fd);
    if (live < 0)
        return live;
    int r = ss_draft_read(fd, &record);
    if (r < 0)
        return judge_recordless(r, live > 0, entry);
    snprintf(entry->name, sizeof entry->name, "%s", record.target);
    snprintf(entry->writer, sizeof entry->writer, "%s", record.writer);
    entry->pid = record.pid;
    entry->since = record.opened;
    judge_record(&record, live > 0, agrees_with_seal(fd), entry);
    return 0;
}

static int judge_image(int fd, struct ss_scan_entry *entry)
{
    struct ss_seal seal;
    enum ss_finding finding;

    int r = ss_seal_read(fd, &seal);
    switch (r) {
    case 0:
        break;
    case -ENODATA:
    case -ENOTSUP:
        set(entry, SS_STATE_UNSEALED, SS_UNSEALED, "");
        return 0;
    case -EPROTONOSUPPORT:
        set(entry, SS_STATE_UNSEALED, SS_SEAL_TOO_NEW, "");
        return 0;
    case -EBADMSG:
    case -E2BIG:
        set(entry, SS_STATE_DAMAGED, SS_SEAL_INVALID, "");
        return 0;
    default:
        return r;
    }
    entry->since = seal.sealed;
    snprintf(entry->writer, sizeof entry->writer, "%s", seal.writer);
    r = ss_seal_check_header(fd, &seal, &finding);
    if (r < 0)
        return r;
    set(entry, finding == SS_INTACT ? SS_STATE_SEALED : SS_STATE_DAMAGED, finding, "");
    return 0;
}

static void take_stat(const struct stat *st, struct ss_scan_entry *entry)
{
    entry->size = (uint64_t)st->st_size;
    entry->allocated = (uint64_t)st->st_blocks * 512;
    entry->since = st->st_mtime;
}

/* The part of an entry that needs no look into the file. */
static int start_entry(int dir, const char *name, struct stat *st, struct ss_scan_entry *entry)
{
    const char *id = draft_id(name);

    *entry = (struct ss_scan_entry){0};
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(st->st_mode) || (!id && ss_draft_reserved(name)))
        return -EINVAL;
    take_stat(st, entry);
    entry->draft = id != NULL;
    snprintf(entry->id, sizeof entry->id, "%s", id ? id : "");
    snprintf(entry->name, sizeof entry->name, "%s", id ? "" : name);
    return 0;
}

/* Judges the file that entry was started for. */
static int judge_file(int dir, const char *name, struct ss_scan_entry *entry)
{
    struct stat st, again;

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    take_stat(&st, entry);
    int r = entry->draft ? judge_draft(fd, entry) : judge_image(fd, entry);
    if (r < 0)
        return r == -EINVAL ? -EIO : r; /* -EINVAL is kept for what is no regular file */
    /* A draft that was published or dropped while it was judged has no record any more: what was found then is of no
     * use. */
    if (entry->draft && fstatat(dir, name, &again, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

int ss_scan_file(int dir, const char *name, struct ss_scan_entry *entry)
{
    struct ss_scan_entry found;
    struct stat st;

    int r = start_entry(dir, name, &st, &found);
    if (r == 0)
        r = judge_file(dir, name, &found);
    if (r == 0)
        *entry = found;
    return r;
}

/* One name of a scan. Returns 0 with a filled entry, 1 when there is nothing to tell, or -errno when the scan itself
 * can not go on. */
static int scan_name(int dir, const char *name, struct ss_scan_entry *entry)
{
    struct stat st;

    int r = start_entry(dir, name, &st, entry);
    if (r == 0)
        r = judge_file(dir, name, entry);
    switch (r) {
    case 0:
        return 0;
    case -ENOENT:
    case -ESTALE:
    case -ELOOP: /* became a symbolic link since it was listed */
    case -EINVAL:
        return 1;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return r;
    case -EACCES:
    case -EPERM:
        set(entry, SS_STATE_DAMAGED, SS_NO_PERMISSION, "");
        return 0;
    default:
        set(entry, SS_STATE_DAMAGED, SS_IO_ERROR, strerrordesc_np(-r) ? strerrordesc_np(-r) : "");
        return 0;
    }
}

typedef int found_function(void *context, const struct ss_scan_entry *entry);

struct scan {
    int dir;
    bool images;
    found_function *found;
    void *context;
    struct ss_scan_entry entry;
};

static int scan_each(void *context, const struct dirent *at)
{
    struct scan *scan = context;

    if (at->d_type != DT_REG && at->d_type != DT_UNKNOWN)
        return 0;
    if (!scan->images && !draft_id(at->d_name))
        return 0;
    int r = scan_name(scan->dir, at->d_name, &scan->entry);
    if (r != 0)
        return r < 0 ? r : 0;
    return scan->found(scan->context, &scan->entry);
}

static int scan(int dir, bool images, found_function *found, void *context)
{
    struct scan all = {.dir = dir, .images = images, .found = found, .context = context};

    return ss_entries_each(dir, scan_each, &all);
}

int ss_scan(int dir, found_function *found, void *context)
{
    return scan(dir, true, found, context);
}

int ss_scan_drafts(int dir, found_function *found, void *context)
{
    return scan(dir, false, found, context);
}
