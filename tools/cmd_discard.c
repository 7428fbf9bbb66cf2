/* saveseal discard: deletes interrupted drafts. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "command.h"
#include "confirm.h"
#include "core/util.h"
#include "core/check/draftfile.h"
#include "report.h"
#include "text.h"

static const char help[] = "Deletes interrupted drafts: DIR/.saveseal.ID, as saveseal status shows them.\n"
                           "Refuses a draft that is being written, and whatever is not a draft. On a\n"
                           "terminal each is asked for; elsewhere --force is needed.\n"
                           "\n"
                           "  --force     do not ask; also delete a file that has a draft's name but no\n"
                           "              readable draft record\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all deleted; 2 not a draft, not there, not allowed, or not\n"
                           "confirmed; 3 being written, or I/O trouble.\n";

/* What is known about the draft, for the question. The caller frees it. */
static char *describe(const struct ss_draftfile *draft)
{
    SS_AUTO_FREE char *target = text_quote(draft->record.target);
    char size[TEXT_SIZE_MAX];

    text_size((uint64_t)draft->st.st_size, size);
    if (draft->record.state == SS_DRAFT_PREPARED)
        return report_format("draft of %s, %s, complete: savesealfs publishes it at its next start", target, size);
    return report_format("draft of %s, %s, %s", target, size, ss_finding_text(ss_draft_reason(&draft->record))->id);
}

static bool is_wanted(const char *path, const struct ss_draftfile *draft)
{
    SS_AUTO_FREE char *quoted = text_quote(path);
    SS_AUTO_FREE char *what = describe(draft);

    return confirm("Delete %s (%s)?", quoted, what);
}

static enum ss_class discard(const char *path, bool force)
{
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    SS_AUTO_FREE char *quoted = text_quote(path);
    struct ss_judgement why;

    if (!ss_draftfile_open(path, SS_DRAFTFILE_TAKE, &draft, &why))
        return report_judgement(path, &why);
    if (draft.record_error < 0 && !force) {
        ss_judge(&why, SS_NOT_A_DRAFT, "%s; --force deletes it all the same",
                 ss_draftfile_record_error(draft.record_error));
        return report_judgement(path, &why);
    }
    if (!force && !is_wanted(path, &draft)) {
        report("%s: kept", quoted);
        return SS_CLASS_INVALID;
    }
    int r = ss_draftfile_remove(&draft);
    if (r == -ESTALE) {
        ss_judge(&why, SS_NOT_FOUND, "another file has its name by now");
        return report_judgement(path, &why);
    }
    if (r < 0) {
        ss_judge_errno(&why, r);
        return report_judgement(path, &why);
    }
    printf("%s: deleted\n", quoted);
    return SS_CLASS_INTACT;
}

static enum ss_class run(int argc, char **argv)
{
    bool force = false;
    const struct command_flag flags[] = {{"force", &force, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;

    int first = command_parse(&command_discard, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (!force && !confirm_possible())
        return command_usage(&command_discard, "without a terminal to ask on, --force is needed");
    class = SS_CLASS_INTACT;
    for (int i = first; i < argc; i++)
        class = ss_class_worse(class, discard(argv[i], force));
    return class;
}

const struct command command_discard = {"discard", "[--force] DRAFT...", "delete interrupted drafts", help, run};
