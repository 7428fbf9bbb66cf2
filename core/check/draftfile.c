#include "draftfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/scan.h"
#include "core/util.h"
#include "core/xattr.h"

#define OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

bool ss_draftfile_named(const char *path)
{
    const char *base = ss_place_base(path);

    return ss_draft_reserved(base) && strlen(base) == SS_DRAFT_NAME_SIZE - 1 &&
           strspn(base + sizeof SS_DRAFT_PREFIX - 1, "0123456789abcdef") == SS_DRAFT_ID_LEN;
}

static int note_draft(void *context, const struct ss_scan_entry *entry)
{
    struct ss_draftfile_search *found = context;

    if (!entry->draft || strcmp(entry->name, found->target) != 0)
        return 0;
    if (entry->state == SS_STATE_WRITING || entry->state == SS_STATE_WAITING) {
        found->live++;
        found->finding = entry->finding;
    } else {
        found->interrupted++;
        snprintf(found->name, sizeof found->name, SS_DRAFT_PREFIX "%.*s", SS_DRAFT_ID_LEN, entry->id);
    }
    return 0;
}

int ss_draftfile_find(const char *path, struct ss_draftfile_search *found)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;

    *found = (struct ss_draftfile_search){0};
    int r = ss_place_of(path, &place, found->target);
    if (r == 0)
        r = place.hidden;
    return r < 0 ? r : ss_scan_drafts(place.dir, note_draft, found);
}

/* For somebody who gave the public name where a draft is wanted. */
static void judge_public_name(const char *path, struct ss_judgement *why)
{
    struct ss_draftfile_search found;

    ss_judge(why, SS_NOT_A_DRAFT, "%s", "");
    if (ss_draftfile_find(path, &found) < 0)
        return;
    if (found.interrupted == 1) {
        SS_AUTO_FREE char *quoted = ss_place_sibling_quoted(path, found.name);
        ss_judge(why, SS_NOT_A_DRAFT, "its interrupted draft is %s", quoted ? quoted : found.name);
    } else if (found.interrupted > 1) {
        ss_judge(why, SS_NOT_A_DRAFT, "it has %u interrupted drafts: choose one", found.interrupted);
    } else if (found.live) {
        ss_judge(why, SS_NOT_A_DRAFT, "it has no interrupted draft, but one that is being written");
    }
}

bool ss_draftfile_in_place(const struct ss_draftfile *draft)
{
    return ss_draft_still_named(draft->place.dir, draft->name, draft->fd);
}

/* A mount keeps what it has given up open for a while, two seconds mostly. */
#define LET_GO_TRIES 100
#define LET_GO_STEP_NS 50000000L

static bool is_given_up(int fd)
{
    struct ss_draft_record record;

    return ss_draft_read(fd, &record) == 0 && record.state == SS_DRAFT_INTERRUPTED;
}

/* Locked, or open for writing: the kernel may write a draft for its writer when the daemon that had its lock is gone,
 * and a program goes on with what it can not close well any more. Asked before we have it open for writing ourselves.
 */
static bool is_in_use(int dir, const char *name)
{
    const struct timespec step = {.tv_nsec = LET_GO_STEP_NS};

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | OPEN_FLAGS);
    if (fd < 0)
        return false;
    for (int i = 0; i < LET_GO_TRIES; i++) {
        if (ss_draft_is_live(fd) > 0)
            return true;
        if (!ss_draft_is_written(fd))
            return false;
        if (!is_given_up(fd))
            return true;
        nanosleep(&step, NULL);
    }
    return true;
}

static int open_file(struct ss_draftfile *draft, enum ss_draftfile_use use)
{
    if (fstatat(draft->place.dir, draft->name, &draft->st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(draft->st.st_mode))
        return -EISDIR;
    draft->written = use == SS_DRAFTFILE_TAKE && is_in_use(draft->place.dir, draft->name);
    int fd = use == SS_DRAFTFILE_TAKE ? ss_open_writable(draft->place.dir, draft->name)
                                      : openat(draft->place.dir, draft->name, O_RDONLY | OPEN_FLAGS);
    if (fd < 0)
        return use == SS_DRAFTFILE_TAKE ? fd : -errno;
    draft->fd = fd;
    if (fstat(fd, &draft->st) < 0)
        return -errno;
    return S_ISREG(draft->st.st_mode) ? 0 : -EISDIR;
}

/* A mount looks only now and then whether the writer of a draft that waits is gone; status knows it before. */
static void judge_taken(const struct ss_draftfile *draft, struct ss_judgement *why)
{
    struct ss_draft_record record;
    bool waits = ss_draft_read(draft->fd, &record) == 0 && record.state == SS_DRAFT_WAIT;

    ss_judge(why, SS_DRAFT_IN_PROGRESS, "%s",
             waits ? "it waits for its writer; when that has ended its mount lets go of it within seconds"
                   : "somebody has it open for writing, or holds its lock");
}

static bool take_lock(struct ss_draftfile *draft, struct ss_judgement *why)
{
    int r = draft->written ? -EAGAIN : ss_draft_lock(draft->fd);

    if (r == -EAGAIN) {
        judge_taken(draft, why);
        return false;
    }
    if (r < 0) {
        ss_judge_errno(why, r);
        return false;
    }
    /* It may have been published, discarded or salvaged between the look and the lock. */
    if (!ss_draftfile_in_place(draft)) {
        ss_judge(why, SS_NOT_FOUND, "it was published or removed a moment ago");
        return false;
    }
    return true;
}

static bool read_record(struct ss_draftfile *draft, struct ss_judgement *why)
{
    int r = ss_draft_read(draft->fd, &draft->record);

    switch (r) {
    case -ENOTSUP:
        r = -ENODATA;
        break;
    case 0:
    case -ENODATA:
    case -EBADMSG:
    case -E2BIG:
    case -EPROTONOSUPPORT:
        break;
    default:
        ss_judge_errno(why, r);
        return false;
    }
    draft->record_error = r;
    return true;
}

bool ss_draftfile_open(const char *path, enum ss_draftfile_use use, struct ss_draftfile *draft,
                       struct ss_judgement *why)
{
    if (!ss_draftfile_named(path)) {
        judge_public_name(path, why);
        return false;
    }
    int r = ss_place_of(path, &draft->place, draft->name);
    if (r == 0)
        r = draft->place.hidden;
    if (r == 0)
        r = open_file(draft, use);
    if (r == -EISDIR || r == -ELOOP)
        ss_judge(why, SS_NOT_A_DRAFT, "it is no regular file");
    else if (r < 0)
        ss_judge_errno(why, r);
    return r == 0 && (use == SS_DRAFTFILE_READ || take_lock(draft, why)) && read_record(draft, why);
}

void ss_draftfile_close(struct ss_draftfile *draft)
{
    ss_cleanup_close(&draft->fd);
    draft->fd = -1;
    ss_place_close(&draft->place);
}

int ss_draftfile_remove(const struct ss_draftfile *draft)
{
    if (!ss_draftfile_in_place(draft))
        return -ESTALE;
    if (unlinkat(draft->place.dir, draft->name, 0) < 0)
        return -errno;
    return ss_draft_sync_dir(draft->place.dir);
}

const char *ss_draftfile_record_error(int error)
{
    switch (error) {
    case -ENODATA:
        return "it has a draft's name but no draft record";
    case -EPROTONOSUPPORT:
        return "its draft record is of a newer version of Saveseal";
    default:
        return "its draft record is malformed";
    }
}
