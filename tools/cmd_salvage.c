/* saveseal salvage: makes a plain file of an interrupted draft. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core/format.h"
#include "core/seal.h"
#include "core/util.h"
#include "core/check/draftfile.h"
#include "core/inside/inside.h"
#include "facts.h"
#include "json_line.h"
#include "outcome.h"
#include "progress.h"
#include "report.h"
#include "salvage.h"
#include "text.h"
#include "whole.h"

static const char help[] = "Makes a plain file DEST of an interrupted draft (DIR/.saveseal.ID, as saveseal\n"
                           "status shows it), without seal, and tells what of it is known to be whole.\n"
                           "DEST must not exist. On another file system the draft is copied, then deleted.\n"
                           "When anything fails, the draft stays as it was.\n"
                           "\n"
                           "  --json      one JSON object\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 done; 2 not a draft, DEST exists or can not be used, not\n"
                           "allowed; 3 the draft is being written, or I/O trouble.\n";

/* Opens the place of DEST and checks what can be said beforehand. */
static bool open_dest(const char *path, struct ss_place *place, char name[NAME_MAX + 1], struct ss_judgement *why)
{
    struct stat st;

    int r = ss_place_of(path, place, name);
    if (r == -EISDIR) {
        ss_judge(why, SS_USAGE, "name the new file, not its directory");
        return false;
    }
    if (r < 0) {
        ss_judge_errno(why, r);
        if (why->finding == SS_NOT_FOUND)
            ss_judge(why, SS_NOT_FOUND, "its directory: %s", strerror(-r));
        return false;
    }
    if (ss_draft_reserved(name)) {
        ss_judge(why, SS_USAGE, "names that start with " SS_DRAFT_PREFIX " are kept for drafts");
        return false;
    }
    if (fstatat(place->seen, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        ss_judge(why, SS_DEST_EXISTS, "%s", "");
        return false;
    }
    return true;
}

static void print_mark(const struct ss_format_probe *probe)
{
    switch (probe->completion) {
    case SS_COMPLETION_DONE:
        printf("  own mark:     complete\n");
        break;
    case SS_COMPLETION_PARTIAL:
        printf("  own mark:     not complete: %s\n", probe->why);
        break;
    case SS_COMPLETION_NO_MARK:
        printf("  own mark:     none: the format can not tell\n");
        break;
    }
}

static void print_reason(const struct ss_draftfile *draft)
{
    const struct ss_draft_record *record = &draft->record;
    SS_AUTO_FREE char *detail = text_safe(draft->record_error == 0 ? record->detail : "");

    printf("  interrupted:  ");
    if (draft->record_error < 0)
        printf("not known: %s\n", ss_draftfile_record_error(draft->record_error));
    else if (record->state == SS_DRAFT_PREPARED)
        printf("the save was complete, only the rename to its name was missing\n");
    else {
        const struct ss_finding_text *text = ss_finding_text(ss_draft_reason(record));
        printf("%s: %s%s%s%s\n", text->id, text->sentence, *detail ? " (" : "", detail, *detail ? ")" : "");
    }
}

/* What is known of a draft. */
struct knowledge {
    struct ss_format_probe probe;
    bool looked; /* inside */
    struct ss_inside inside;
    bool lacks_mark;         /* and nothing else */
    bool sealed;             /* its last close left a seal on it, or it is an image that was set aside */
    enum ss_finding by_seal; /* what that says */
};

static bool is_complete_but_for_mark(const char *path, int fd, uint64_t size)
{
    struct ss_inside inside;

    return whole_look(path, fd, size, &inside) == 0 && inside.finding == SS_COMPLETE;
}

/* A seal goes when the draft becomes a plain file, so all of it is compared now. Returns 0 or -errno. */
static int learn(const char *path, const struct ss_draftfile *draft, struct knowledge *known)
{
    const uint64_t size = (uint64_t)draft->st.st_size;
    struct progress progress;
    const struct ss_digest_run run = {.progress = progress_step, .context = &progress};
    struct ss_seal seal;

    *known = (struct knowledge){0};
    int r = ss_format_probe_fd(draft->fd, size, &known->probe);
    if (r < 0)
        return r;
    known->looked = ss_inside_check(draft->fd, size, NULL, &known->inside) == 0;
    known->lacks_mark = known->probe.marked_partial && is_complete_but_for_mark(path, draft->fd, size);
    if (ss_seal_read(draft->fd, &seal) < 0)
        return 0;
    progress_start(&progress, path);
    known->sealed = ss_seal_check_content(draft->fd, &seal, &run, &known->by_seal) == 0;
    progress_end(&progress);
    return 0;
}

static void print_report(const char *path, const struct ss_draftfile *draft, const struct knowledge *known)
{
    SS_AUTO_FREE char *quoted = text_quote(path);
    SS_AUTO_FREE char *target = text_quote(draft->record_error == 0 ? draft->record.target : "");
    char size[TEXT_SIZE_MAX];

    text_size((uint64_t)draft->st.st_size, size);
    printf("%s: salvaged\n", quoted);
    if (draft->record_error == 0)
        printf("  saved as:     %s\n", target);
    printf("  size:         %s\n", size);
    printf("  format:       %s\n", ss_format_name(known->probe.format));
    print_mark(&known->probe);
    print_reason(draft);
    if (known->sealed)
        printf("  its seal:     %s: %s\n", ss_finding_text(known->by_seal)->id,
               known->by_seal == SS_INTACT ? "all of it is as it was at its last close"
                                           : ss_finding_text(known->by_seal)->sentence);
    if (known->lacks_mark)
        printf("  but for that:  its end is there; see saveseal finish\n");
    if (known->looked)
        facts_print(&known->inside);
}

static void print_json(const char *path, const struct ss_draftfile *draft, const struct knowledge *known)
{
    static const char *const marks[] = {"none", "partial", "complete"}; /* by enum ss_completion */
    json_t *object = outcome_done(path, "image", "salvaged");

    json_line_number(object, "size", (uint64_t)draft->st.st_size);
    json_line_text(object, "format", ss_format_name(known->probe.format));
    json_line_text(object, "mark", marks[known->probe.completion]);
    if (draft->record_error == 0) {
        bool prepared = draft->record.state == SS_DRAFT_PREPARED;
        enum ss_finding reason = prepared ? SS_CLOSED_UNPUBLISHED : ss_draft_reason(&draft->record);
        json_line_text(object, "target", draft->record.target);
        json_line_text(object, "reason", ss_finding_text(reason)->id);
        json_line_text(object, "detail", draft->record.detail);
        json_line_text(object, "writer", draft->record.writer);
    } else {
        json_line_null(object, "reason");
        json_line_text(object, "detail", ss_draftfile_record_error(draft->record_error));
    }
    if (known->sealed)
        json_line_text(object, "by_seal", ss_finding_text(known->by_seal)->id);
    json_line_bool(object, "lacks_only_mark", known->lacks_mark);
    if (known->looked)
        json_line_put(object, "inside", facts_json(&known->inside));
    json_line_print(object);
}

static enum ss_class run(int argc, char **argv)
{
    bool json = false;
    const struct command_flag flags[] = {{"json", &json, NULL}, {NULL, NULL, NULL}};
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    struct knowledge known;
    char name[NAME_MAX + 1];
    struct ss_judgement why;
    enum ss_class class;

    int first = command_parse(&command_salvage, argc, argv, flags, 2, 2, &class);
    if (first < 0)
        return class;
    const char *from = argv[first], *to = argv[first + 1];
    if (!ss_draftfile_open(from, SS_DRAFTFILE_TAKE, &draft, &why))
        return outcome_refused(from, "draft", &why, json);
    if (!open_dest(to, &place, name, &why))
        return outcome_refused(to, "image", &why, json);
    int r = learn(from, &draft, &known);
    if (r < 0) {
        ss_judge_errno(&why, r);
        return outcome_refused(from, "draft", &why, json);
    }
    if (!salvage_to(&draft, &known.probe, &place, name, &why))
        return outcome_refused(to, "image", &why, json);
    r = salvage_finish(&draft);
    if (json)
        print_json(to, &draft, &known);
    else
        print_report(to, &draft, &known);
    if (r < 0) {
        ss_judge(&why, SS_IO_ERROR, "the new file is there, but the draft could not be removed: %s", strerror(-r));
        return report_judgement(from, &why);
    }
    return SS_CLASS_INTACT;
}

const struct command command_salvage = {"salvage", "[--json] DRAFT DEST", "make a plain file of an interrupted draft",
                                        help, run};
