/* saveseal quarantine: sets a damaged image aside, so that nothing restores from it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core/check/check.h"
#include "core/check/draftfile.h"
#include "core/util.h"
#include "imagefile.h"
#include "json_line.h"
#include "outcome.h"
#include "progress.h"
#include "report.h"
#include "text.h"
#include "watch.h"

static const char help[] = "Sets damaged images aside, so that nothing restores from them: each becomes a\n"
                           "hidden draft with its reason. saveseal status lists it, salvage brings it back,\n"
                           "discard deletes it. All of it is checked first, as by saveseal verify --deep;\n"
                           "what is not found damaged stays. Nothing is copied or deleted.\n"
                           "\n"
                           "  --force     do not read all of it, and set it aside whatever it is; also\n"
                           "              while another version of it is being saved\n"
                           "  --json      one JSON object a line for each PATH\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all set aside; 2 it is not damaged, no such file, no image, not\n"
                           "allowed; 3 being written, or I/O trouble; 4 nothing is known about it.\n";

/* ---- deciding ---- */

static bool is_being_saved(const char *path)
{
    struct ss_draftfile_search found;

    return ss_draftfile_find(path, &found) == 0 && found.live > 0;
}

static bool begin(const char *path, bool force, struct imagefile *image, struct watch *watch, struct ss_judgement *why)
{
    if (!imagefile_open(path, false, image, why))
        return false;
    if (!force && is_being_saved(path)) {
        ss_judge(why, SS_DRAFT_IN_PROGRESS, "the new version takes its place by itself; --force does not wait");
        return false;
    }
    return watch_begin(watch, image->fd, why);
}

/* Leaves in why what is the matter with the image. True when that is reason enough to set it aside. */
static bool is_wanted(const char *path, int fd, bool force, struct ss_judgement *why)
{
    struct progress progress;
    const struct ss_check_options options = {
        .level = force ? SS_CHECK_QUICK : SS_CHECK_DEEP,
        .run = {.stop = watch_stop(), .progress = progress_step, .context = &progress},
    };
    struct ss_check check;

    progress_start(&progress, path);
    ss_check_fd(fd, &options, &check);
    progress_end(&progress);
    *why = check.why;
    if (ss_finding_text(why->finding)->class == SS_CLASS_DAMAGED)
        return true;
    if (force) {
        ss_judge(why, SS_QUARANTINED, "%s", "");
        return true;
    }
    if (ss_finding_text(why->finding)->class == SS_CLASS_INTACT)
        ss_judge(why, SS_REQUEST_REFUSED, "it is not damaged: %s; --force sets it aside all the same",
                 ss_finding_text(check.why.finding)->id);
    return false;
}

/* ---- doing ---- */

static void make_record(const struct imagefile *image, const struct ss_judgement *why, struct ss_draft_record *record)
{
    struct ss_seal seal;

    *record = (struct ss_draft_record){.state = SS_DRAFT_INTERRUPTED, .reason = why->finding};
    ss_draft_describe_writer(record, 0, 0);
    snprintf(record->target, sizeof record->target, "%s", image->name);
    snprintf(record->detail, sizeof record->detail, "set aside by saveseal quarantine%s%.100s",
             *why->detail ? ": " : "", why->detail);
    if (ss_seal_read(image->fd, &seal) == 0)
        snprintf(record->writer, sizeof record->writer, "%s", seal.writer);
}

/* Returns true with the draft's name, or false with the reason. */
static bool set_aside(const struct imagefile *image, const struct ss_draft_record *record,
                      char name[SS_DRAFT_NAME_SIZE], struct ss_judgement *why)
{
    int r = ss_draft_set_aside(image->place.dir, image->fd, record, name);

    if (r == -ESTALE)
        ss_judge(why, SS_CHANGED_WHILE_READING, "another file has its name by now");
    else if (r == -ENOTSUP)
        ss_judge(why, SS_REQUEST_REFUSED,
                 "its file system has no extended attributes of users, where drafts have "
                 "their record");
    else if (r < 0)
        ss_judge_errno(why, r);
    if (r < 0)
        return false;
    r = ss_draft_sync_dir(image->place.dir);
    if (r < 0)
        report("warning: it is set aside, but its directory could not be synced: %s", strerror(-r));
    return true;
}

static enum ss_class tell(const char *path, const char *draft, const struct imagefile *image,
                          const struct ss_judgement *why, bool json)
{
    SS_AUTO_FREE char *name = text_quote(path);
    SS_AUTO_FREE char *quoted = text_quote(draft);
    SS_AUTO_FREE char *detail = text_safe(why->detail);

    if (json) {
        json_t *object = outcome_done(path, "image", "set-aside");
        json_line_text(object, "draft", draft);
        json_line_text(object, "reason", ss_finding_text(why->finding)->id);
        json_line_text(object, "detail", why->detail);
        json_line_number(object, "size", (uint64_t)image->st.st_size);
        json_line_number(object, "links", image->st.st_nlink);
        json_line_print(object);
    } else {
        printf("%s: set aside as %s (%s%s%s)\n", name, quoted, ss_finding_text(why->finding)->id, *detail ? ": " : "",
               detail);
    }
    if (image->st.st_nlink > 1)
        report("warning: %s has other names (hard links), under which it can still be restored", name);
    return SS_CLASS_INTACT;
}

static enum ss_class quarantine(const char *path, bool force, bool json)
{
    IMAGEFILE_AUTO_CLOSE struct imagefile image = IMAGEFILE_NONE;
    WATCH_AUTO_END struct watch watch = WATCH_NONE;
    struct ss_draft_record record;
    struct ss_judgement why, failure;
    char name[SS_DRAFT_NAME_SIZE];

    if (!begin(path, force, &image, &watch, &why))
        return outcome_refused(path, "image", &why, json);
    bool wanted = is_wanted(path, image.fd, force, &why);
    if (!watch_is_quiet(&watch, &why) || !wanted)
        return outcome_refused(path, "image", &why, json);
    make_record(&image, &why, &record);
    if (!set_aside(&image, &record, name, &failure))
        return outcome_refused(path, "image", &failure, json);
    SS_AUTO_FREE char *draft = report_must(ss_place_sibling(path, name));
    return tell(path, draft, &image, &why, json);
}

static enum ss_class run(int argc, char **argv)
{
    return command_each(&command_quarantine, argc, argv, quarantine);
}

const struct command command_quarantine = {"quarantine", "[--force] [--json] PATH...",
                                           "set damaged images aside as hidden drafts", help, run};
