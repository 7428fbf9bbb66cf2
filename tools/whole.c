#include "whole.h"

#include <errno.h>
#include <string.h>

#include "core/seal.h"
#include "progress.h"

int whole_look(const char *path, int fd, uint64_t size, struct ss_inside *inside)
{
    struct progress progress;
    struct ss_inside_options options = {.assume_done = true};

    int r = ss_inside_check(fd, size, &options, inside);
    if (r < 0 || inside->finding != SS_END_UNPROVEN)
        return r;
    options.deep = true;
    options.progress = progress_step;
    options.context = &progress;
    progress_start(&progress, path);
    r = ss_inside_check(fd, size, &options, inside);
    progress_end(&progress);
    return r;
}

/* 1, 0 or -errno. */
static int agrees_with_seal(int fd)
{
    enum ss_finding finding = SS_HEADER_MISMATCH;
    struct ss_seal seal;

    int r = ss_seal_read(fd, &seal);
    switch (r) {
    case 0:
        break;
    case -ENODATA:
    case -ENOTSUP:
    case -EBADMSG:
    case -E2BIG:
        return 0;
    case -EPROTONOSUPPORT: /* a newer Saveseal's: it may agree */
        return 1;
    default:
        return r;
    }
    r = ss_seal_check_header(fd, &seal, &finding);
    return r < 0 ? r : finding == SS_INTACT;
}

/* 1, 0 or -errno. What is of no known kind has no end that could be proven: if that counted, no plain file would ever
 * be old. Of a kind that is known, one that can not tell all the same may be whole. */
static int may_be_by_inside(const char *path, const struct ss_draftfile *draft)
{
    struct ss_inside inside;

    int r = whole_look(path, draft->fd, (uint64_t)draft->st.st_size, &inside);
    if (r < 0)
        return r;
    switch (inside.finding) {
    case SS_COMPLETE:
    case SS_FORMAT_UNSUPPORTED:
    case SS_BUSY:
        return 1;
    case SS_END_UNPROVEN:
        return strcmp(inside.kind, "unknown") != 0;
    default:
        return 0;
    }
}

int whole_may_be(const char *path, const struct ss_draftfile *draft)
{
    enum ss_finding reason = ss_draft_reason(&draft->record);
    int r;

    switch (reason) {
    case SS_NAME_TAKEN:
    case SS_PUBLISH_FAILED:
        return 1;
    case SS_WRITER_KILLED:
    case SS_WRITER_EXITED:
    case SS_WRITER_VANISHED:
    case SS_DAEMON_DIED:
    case SS_FORMAT_INCOMPLETE:
        /* It was broken off: perhaps behind the last byte. */
        r = draft->record.state == SS_DRAFT_PREPARED ? 1 : agrees_with_seal(draft->fd);
        return r != 0 ? r : may_be_by_inside(path, draft);
    default:
        /* Bytes are missing, or it was set aside because it is damaged; or nobody knows. */
        return ss_finding_text(reason)->class == SS_CLASS_UNKNOWN;
    }
}
