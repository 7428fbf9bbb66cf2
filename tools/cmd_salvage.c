/* saveseal salvage: makes a plain file of an interrupted draft. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core/format.h"
#include "core/util.h"
#include "core/check/draftfile.h"
#include "report.h"
#include "salvage.h"
#include "text.h"

static const char help[] = "Makes a plain file DEST of an interrupted draft (DIR/.saveseal.ID, as saveseal\n"
                           "status shows it), without seal, and tells what is known about it. DEST must\n"
                           "not exist. On another file system the draft is copied, then deleted. When\n"
                           "anything fails, the draft stays as it was.\n"
                           "\n"
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

static void print_report(const char *path, const struct ss_draftfile *draft, const struct ss_format_probe *probe)
{
    SS_AUTO_FREE char *quoted = text_quote(path);
    SS_AUTO_FREE char *target = text_quote(draft->record_error == 0 ? draft->record.target : "");
    char size[TEXT_SIZE_MAX];

    text_size((uint64_t)draft->st.st_size, size);
    printf("%s: salvaged\n", quoted);
    if (draft->record_error == 0)
        printf("  saved as:     %s\n", target);
    printf("  size:         %s\n", size);
    printf("  format:       %s\n", ss_format_name(probe->format));
    print_mark(probe);
    print_reason(draft);
}

static enum ss_class run(int argc, char **argv)
{
    const struct command_flag flags[] = {{NULL, NULL, NULL}};
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    struct ss_format_probe probe;
    char name[NAME_MAX + 1];
    struct ss_judgement why;
    enum ss_class class;

    int first = command_parse(&command_salvage, argc, argv, flags, 2, 2, &class);
    if (first < 0)
        return class;
    const char *from = argv[first], *to = argv[first + 1];
    if (!ss_draftfile_open(from, SS_DRAFTFILE_TAKE, &draft, &why))
        return report_judgement(from, &why);
    int r = ss_format_probe_fd(draft.fd, (uint64_t)draft.st.st_size, &probe);
    if (r < 0) {
        ss_judge_errno(&why, r);
        return report_judgement(from, &why);
    }
    if (!open_dest(to, &place, name, &why) || !salvage_to(&draft, &probe, &place, name, &why))
        return report_judgement(to, &why);
    r = salvage_finish(&draft);
    print_report(to, &draft, &probe);
    if (r < 0) {
        ss_judge(&why, SS_IO_ERROR, "the new file is there, but the draft could not be removed: %s", strerror(-r));
        return report_judgement(from, &why);
    }
    return SS_CLASS_INTACT;
}

const struct command command_salvage = {"salvage", "DRAFT DEST", "make a plain file of an interrupted draft", help,
                                        run};
