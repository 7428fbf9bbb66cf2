/* saveseal finish: completes a save image of libvirt whose last 16 bytes nobody came to write. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "confirm.h"
#include "core/check/draftfile.h"
#include "core/format.h"
#include "core/util.h"
#include "core/xattr.h"
#include "finish.h"
#include "imagefile.h"
#include "json_line.h"
#include "outcome.h"
#include "report.h"
#include "sealing.h"
#include "text.h"
#include "watch.h"

static const char help[] = "Completes a save image of libvirt that is all there but for the word in its\n"
                           "header that says so, because libvirtd ended after the last byte and before\n"
                           "that. Only when all of it is checked and its end is proven. A draft is then\n"
                           "sealed and gets its name, but never replaces a file; an image stays in place.\n"
                           "\n"
                           "libvirt never called this save good. If the guest ran on afterwards, its disks\n"
                           "are newer than this memory, and to restore it DESTROYS THEIR FILE SYSTEMS. So\n"
                           "each is asked for on a terminal; elsewhere --force is needed. See the manual.\n"
                           "\n"
                           "  --force     do not ask\n"
                           "  --json      one JSON object a line for each; does not ask\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all finished; 1 damaged, or its end is missing; 2 nothing that\n"
                           "can be finished, its name is taken, not allowed, not confirmed; 3 being\n"
                           "written, or I/O trouble; 4 nothing proves that its end is there.\n";

struct wishes {
    bool force, json;
};

/* ---- both ---- */

static bool is_wanted(const char *path, const struct finish_proof *proof, const struct wishes *wishes,
                      struct ss_judgement *why)
{
    SS_AUTO_FREE char *quoted = text_quote(path);
    SS_AUTO_FREE char *what = text_safe(proof->what);

    if (wishes->force)
        return true;
    if (confirm("%s: %s. It is whole to its end, but libvirt never said that this save is good.\n"
                "Has the guest NOT run since then? Only then: complete it?",
                quoted, what))
        return true;
    ss_judge(why, SS_REQUEST_REFUSED, "not confirmed; it is as it was");
    return false;
}

static enum ss_class tell(const char *path, const char *kind, const char *image, bool sealed,
                          const struct finish_proof *proof, const struct wishes *wishes)
{
    SS_AUTO_FREE char *quoted = text_quote(image);
    SS_AUTO_FREE char *what = text_safe(proof->what);

    if (wishes->json) {
        json_t *object = outcome_done(path, kind, "finished");
        json_line_text(object, "image", image);
        json_line_bool(object, "sealed", sealed);
        json_line_print(object);
    } else {
        printf("%s: finished%s (%s)\n", quoted, sealed ? ", sealed" : "", what);
    }
    return SS_CLASS_INTACT;
}

/* The digests of a seal are made when the magic is written, so the file is watched anew. Returns false with the reason
 * when it could not be sealed. */
static bool seal(int fd, const char *path, const struct watch *marked, struct ss_judgement *why)
{
    WATCH_AUTO_END struct watch watch = WATCH_NONE;

    return watch_begin(&watch, fd, why) && watch_has_same_content(marked, fd, why) &&
           sealing_make(fd, path, "saveseal finish", &watch, why);
}

/* ---- a draft ---- */

/* A reason that says that bytes are missing or wrong is believed, whatever the end looks like. */
static bool reason_allows(const struct ss_draftfile *draft, struct ss_judgement *why)
{
    if (draft->record_error < 0) {
        ss_judge(why, SS_NOT_A_DRAFT, "%s, so its name is not known: salvage it",
                 ss_draftfile_record_error(draft->record_error));
        return false;
    }
    enum ss_finding reason = ss_draft_reason(&draft->record);
    switch (reason) {
    case SS_FORMAT_INCOMPLETE:
    case SS_WRITER_KILLED:
    case SS_WRITER_VANISHED:
    case SS_DAEMON_DIED:
    case SS_CLOSED_UNPUBLISHED:
    case SS_NAME_TAKEN:
    case SS_PUBLISH_FAILED:
        return true;
    default:
        /* A record may hold any id; one that means "all is well" is no reason. */
        if (ss_finding_text(reason)->class == SS_CLASS_INTACT)
            ss_judge(why, SS_SEAL_INVALID, "its draft record is malformed");
        else
            ss_judge(why, reason, "%s", draft->record.detail);
        return false;
    }
}

static bool name_is_free(const struct ss_draftfile *draft, struct ss_judgement *why)
{
    struct stat st;

    int r = fstatat(draft->place.dir, draft->record.target, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    /* Or it is the draft's own second name: an earlier try was broken off between two steps, see ss_rename_exclusive.
     */
    if (r == -ENOENT || (r == 0 && ss_draft_still_named(draft->place.dir, draft->record.target, draft->fd)))
        return true;
    if (r < 0)
        ss_judge_errno(why, r);
    else
        ss_judge(why, SS_DEST_EXISTS, "the image of that name is not replaced");
    return false;
}

/* A file that is open for writing can not be watched; so it is opened again for that, while the draft's lock keeps it
 * from all who know locks. */
static bool seal_draft(struct ss_draftfile *draft, const char *path, const struct watch *marked,
                       struct ss_judgement *why)
{
    SS_AUTO_CLOSE int reader = openat(draft->place.dir, draft->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    WATCH_AUTO_END struct watch watch = WATCH_NONE;

    if (reader < 0) {
        ss_judge_errno(why, -errno);
        return false;
    }
    if (!watch_begin_unleased(&watch, reader, why))
        return false;
    return watch_has_same_content(marked, reader, why) && sealing_make(reader, path, "saveseal finish", &watch, why);
}

static bool publish(const struct ss_draftfile *draft, struct ss_judgement *why)
{
    int r = ss_draft_publish(draft->place.dir, draft->name, draft->fd, draft->record.target, true, &draft->record.base);

    if (r == -ESTALE)
        ss_judge(why, SS_CHANGED_WHILE_READING, "another file has the draft's name by now");
    else if (r < 0)
        ss_judge_errno(why, r);
    if (r < 0)
        return false;
    r = ss_draft_sync_dir(draft->place.dir);
    if (r < 0)
        report("warning: it is finished, but its directory could not be synced: %s", strerror(-r));
    return true;
}

static bool finish_taken(const char *path, struct ss_draftfile *draft, const struct wishes *wishes,
                         struct finish_proof *proof, struct ss_judgement *why)
{
    struct watch watch = WATCH_NONE, marked; /* without leases */

    return reason_allows(draft, why) && name_is_free(draft, why) && watch_begin_unleased(&watch, draft->fd, why) &&
           finish_prove(path, draft->fd, proof, why) && is_wanted(path, proof, wishes, why) &&
           watch_is_quiet(&watch, why) && finish_mark(draft->fd, proof, &marked, why) &&
           seal_draft(draft, path, &marked, why) && publish(draft, why);
}

static enum ss_class finish_draft(const char *path, const struct wishes *wishes)
{
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    struct finish_proof proof;
    struct ss_judgement why;

    if (!ss_draftfile_open(path, SS_DRAFTFILE_TAKE, &draft, &why) || !finish_taken(path, &draft, wishes, &proof, &why))
        return outcome_refused(path, "draft", &why, wishes->json);
    SS_AUTO_FREE char *image = report_must(ss_place_sibling(path, draft.record.target));
    return tell(path, "draft", image, true, &proof, wishes);
}

/* ---- an image ---- */

static bool begin_image(const char *path, struct imagefile *image, struct watch *watch, struct ss_judgement *why)
{
    struct ss_draftfile_search found;
    struct ss_seal seal;

    if (!imagefile_open(path, false, image, why))
        return false;
    int r = ss_seal_read(image->fd, &seal);
    if (r != -ENODATA && r != -ENOTSUP) {
        ss_judge(why, SS_REQUEST_REFUSED, "it has a seal, so nothing is left to finish: verify it");
        return false;
    }
    if (ss_draftfile_find(path, &found) == 0 && found.live > 0) {
        ss_judge(why, SS_DRAFT_IN_PROGRESS, "%s", "");
        return false;
    }
    return watch_begin(watch, image->fd, why);
}

/* In place: sixteen bytes within one sector are written whole or not at all, also when the power fails. */
static bool mark_image(const struct imagefile *image, const struct watch *watch, const struct finish_proof *proof,
                       struct watch *marked, struct ss_judgement *why)
{
    SS_AUTO_CLOSE int fd = ss_open_writable(image->place.dir, image->name);

    if (fd < 0) {
        ss_judge_errno(why, fd);
        return false;
    }
    /* Else it may be another file, too. */
    return watch_has_same_content(watch, fd, why) && finish_mark(fd, proof, marked, why);
}

static enum ss_class finish_image(const char *path, const struct wishes *wishes)
{
    IMAGEFILE_AUTO_CLOSE struct imagefile image = IMAGEFILE_NONE;
    WATCH_AUTO_END struct watch watch = WATCH_NONE;
    struct finish_proof proof;
    struct ss_judgement why;
    struct watch marked;

    if (!begin_image(path, &image, &watch, &why))
        return outcome_refused(path, "image", &why, wishes->json);
    bool proven = finish_prove(path, image.fd, &proof, &why);
    proven = watch_is_quiet(&watch, &why) && proven; /* a change may be why it failed */
    watch_end(&watch);                               /* nobody is kept waiting for an answer */
    if (!proven || !is_wanted(path, &proof, wishes, &why) || !mark_image(&image, &watch, &proof, &marked, &why))
        return outcome_refused(path, "image", &why, wishes->json);
    bool sealed = seal(image.fd, path, &marked, &why);
    if (!imagefile_in_place(&image, &why)) /* what was finished is not what is there */
        return outcome_refused(path, "image", &why, wishes->json);
    enum ss_class class = tell(path, "image", path, sealed, &proof, wishes);
    if (!sealed && why.finding == SS_REQUEST_REFUSED) /* plain libvirt needs no seal */
        report("note: it has no seal: %s", why.detail);
    else if (!sealed)
        class = report_judgement(path, &why);
    return class;
}

/* ---- all ---- */

static enum ss_class run(int argc, char **argv)
{
    struct wishes wishes = {0};
    const struct command_flag flags[] = {
        {"force", &wishes.force, NULL}, {"json", &wishes.json, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;

    int first = command_parse(&command_finish, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (!wishes.force && (wishes.json || !confirm_possible()))
        return command_usage(&command_finish, "%s --force is needed",
                             wishes.json ? "with --json" : "without a terminal to ask on,");
    class = SS_CLASS_INTACT;
    for (int i = first; i < argc; i++) {
        class = ss_class_worse(class, ss_draftfile_named(argv[i]) ? finish_draft(argv[i], &wishes)
                                                                  : finish_image(argv[i], &wishes));
        fflush(stdout); /* the next may take minutes */
    }
    return class;
}

const struct command command_finish = {"finish", "[--force] [--json] DRAFT|IMAGE...",
                                       "complete a libvirt image that lacks only its mark", help, run};
