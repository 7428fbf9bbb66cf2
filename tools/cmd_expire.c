/* saveseal expire: deletes interrupted drafts that are old. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "confirm.h"
#include "core/check/draftfile.h"
#include "core/scan.h"
#include "core/stamp.h"
#include "core/util.h"
#include "json_line.h"
#include "quantity.h"
#include "report.h"
#include "text.h"
#include "whole.h"

static const char help[] = "Deletes the interrupted drafts of each DIR (not below it) that nobody has\n"
                           "touched for DURATION: a number with s, m, h, d or w, such as 12h or 7d. Images\n"
                           "are never deleted, nor what is being written, nor a draft without a readable\n"
                           "record. A draft that may be the only whole copy is kept, and so is one that can\n"
                           "not be read. All are listed first and asked for once; without a terminal\n"
                           "--force or --dry-run is needed.\n"
                           "\n"
                           "  --older-than DURATION\n"
                           "  --also-complete  also drafts that may be whole\n"
                           "  --dry-run        only list them\n"
                           "  --force          do not ask\n"
                           "  --json           one JSON object a line for each DIR; does not ask\n"
                           "  -h, --help       this text\n"
                           "\n"
                           "Exit status: 0 done, or nothing to do; 2 no such directory, not allowed, not\n"
                           "confirmed; 3 I/O trouble.\n";

enum fate { OLD, YOUNG, MAY_BE_WHOLE, DELETED, GONE, FAILED };

/* For JSON; stable. */
static const char *const actions[] = {"would-delete", "young", "may-be-whole", "deleted", "gone", "failed"};

struct candidate {
    struct ss_scan_entry entry;
    char *path;
    int64_t age; /* seconds */
    enum fate fate;
    struct ss_stamp stamp; /* when that was judged */
};

struct batch {
    const char *dir;
    int64_t older; /* seconds */
    bool also_complete;
    struct candidate *all;
    size_t count, capacity;
};

/* ---- finding ---- */

static time_t later(time_t a, time_t b)
{
    return a > b ? a : b;
}

/* The last sign of life: a save that was begun a week ago may have ended today; and one that waited for a week (a full
 * disk) may have been given up today. */
static int64_t age_of(const struct ss_draftfile *draft, time_t now)
{
    time_t last = later(draft->st.st_mtim.tv_sec, later(draft->record.opened, draft->record.ended));

    return now - last; /* negative where a clock was set back: never old */
}

/* Sets fate and age. What was found old, and has not changed since, is not looked at again. */
static enum ss_class judge(const struct batch *batch, const struct ss_draftfile *draft, struct candidate *candidate)
{
    const struct ss_stamp stamp = ss_stamp_of(&draft->st);
    bool known = candidate->fate == OLD && ss_stamp_equal(&stamp, &candidate->stamp);
    struct ss_judgement why;

    candidate->stamp = stamp;
    candidate->age = age_of(draft, time(NULL));
    candidate->fate = candidate->age < batch->older ? YOUNG : OLD;
    if (candidate->fate == YOUNG || batch->also_complete || known)
        return SS_CLASS_INTACT;
    int r = whole_may_be(candidate->path, draft);
    candidate->fate = r < 0 ? FAILED : r > 0 ? MAY_BE_WHOLE : OLD;
    if (r >= 0)
        return SS_CLASS_INTACT;
    ss_judge_errno(&why, r);
    return report_judgement(candidate->path, &why);
}

static int add(void *context, const struct ss_scan_entry *entry)
{
    struct batch *batch = context;

    if (!entry->draft || entry->state != SS_STATE_INTERRUPTED)
        return 0;
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? 2 * batch->capacity : 64;
        batch->all = report_must(reallocarray(batch->all, batch->capacity, sizeof *batch->all));
    }
    batch->all[batch->count++] =
        (struct candidate){.entry = *entry, .path = text_draft_path(batch->dir, entry->id), .fate = YOUNG};
    return 0;
}

static int compare(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    int order = strcmp(a->entry.name, b->entry.name);

    return order ? order : strcmp(a->entry.id, b->entry.id);
}

/* The looks that need the file, after the scan has named them all. */
static enum ss_class judge_all(struct batch *batch)
{
    enum ss_class class = SS_CLASS_INTACT;

    for (size_t i = 0; i < batch->count; i++) {
        struct candidate *candidate = &batch->all[i];
        SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
        struct ss_judgement why;
        if (ss_draftfile_open(candidate->path, SS_DRAFTFILE_READ, &draft, &why)) {
            if (draft.record_error == 0 && !ss_draft_is_written(draft.fd))
                class = ss_class_worse(class, judge(batch, &draft, candidate));
            continue;
        }
        candidate->fate = why.finding == SS_NOT_FOUND ? GONE : FAILED;
        if (candidate->fate == FAILED)
            class = ss_class_worse(class, report_judgement(candidate->path, &why));
    }
    return class;
}

static bool find(const char *dir, struct batch *batch, enum ss_class *class)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;

    int r = ss_place_open(dir, &place);
    if (r == 0)
        r = place.hidden;
    if (r == 0)
        r = ss_scan(place.dir, add, batch);
    if (r < 0) {
        *class = report_directory(dir, r);
        return false;
    }
    if (batch->count > 0)
        qsort(batch->all, batch->count, sizeof *batch->all, compare);
    *class = judge_all(batch);
    return true;
}

/* ---- deleting ---- */

/* What was found may have changed since: it is looked at again, with the lock held. */
static enum ss_class judge_again(const struct batch *batch, struct ss_draftfile *draft, struct candidate *candidate)
{
    /* Its times were read before it was locked. */
    if (draft->record_error == 0 && fstat(draft->fd, &draft->st) == 0)
        return judge(batch, draft, candidate);
    candidate->fate = YOUNG;
    return SS_CLASS_INTACT;
}

static enum ss_class delete_one(const struct batch *batch, struct candidate *candidate)
{
    SS_DRAFTFILE_AUTO_CLOSE struct ss_draftfile draft = SS_DRAFTFILE_NONE;
    struct ss_judgement why;

    if (!ss_draftfile_open(candidate->path, SS_DRAFTFILE_TAKE, &draft, &why)) {
        /* Somebody writes to it, or another saveseal has it: it is not left alone. */
        candidate->fate = why.finding == SS_NOT_FOUND ? GONE : why.finding == SS_DRAFT_IN_PROGRESS ? YOUNG : FAILED;
        return candidate->fate != FAILED ? SS_CLASS_INTACT : report_judgement(candidate->path, &why);
    }
    enum ss_class class = judge_again(batch, &draft, candidate);
    if (candidate->fate != OLD)
        return class;
    int r = ss_draftfile_remove(&draft);
    candidate->fate = r == 0 ? DELETED : r == -ESTALE ? GONE : FAILED;
    if (candidate->fate != FAILED)
        return SS_CLASS_INTACT;
    ss_judge_errno(&why, r);
    return report_judgement(candidate->path, &why);
}

static enum ss_class delete_all(struct batch *batch)
{
    enum ss_class class = SS_CLASS_INTACT;

    for (size_t i = 0; i < batch->count; i++)
        if (batch->all[i].fate == OLD)
            class = ss_class_worse(class, delete_one(batch, &batch->all[i]));
    return class;
}

/* ---- telling ---- */

struct sum {
    size_t count;
    uint64_t bytes; /* on disk */
};

static struct sum sum_of(const struct batch *batch, enum fate fate)
{
    struct sum sum = {0};

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->all[i].fate == fate) {
            sum.count++;
            sum.bytes += batch->all[i].entry.allocated;
        }
    }
    return sum;
}

static void print_list(const struct batch *batch, enum fate fate, const char *verb)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct candidate *candidate = &batch->all[i];
        SS_AUTO_FREE char *path = text_quote(candidate->path);
        SS_AUTO_FREE char *target = text_quote(candidate->entry.name);
        char size[TEXT_SIZE_MAX], age[TEXT_AGE_MAX];
        if (candidate->fate != fate)
            continue;
        text_size(candidate->entry.size, size);
        text_age(candidate->age, age);
        printf("%s: %s (draft of %s, %s, %s, %s)\n", path, verb, target, size, age,
               ss_finding_text(candidate->entry.finding)->id);
    }
}

static void print_sum(const struct batch *batch, const char *verb, enum fate fate)
{
    const struct sum sum = sum_of(batch, fate), whole = sum_of(batch, MAY_BE_WHOLE);
    SS_AUTO_FREE char *dir = text_quote(batch->dir);
    char size[TEXT_SIZE_MAX];

    text_size(sum.bytes, size);
    printf("%s: %zu draft%s %s, %s", dir, sum.count, sum.count == 1 ? "" : "s", verb, size);
    if (whole.count > 0)
        printf("; %zu kept that may be whole", whole.count);
    putchar('\n');
}

static void print_json(const struct batch *batch, bool dry)
{
    json_t *object = json_line_object(), *drafts = report_must(json_array()), *summary = json_line_object();
    const struct sum done = sum_of(batch, dry ? OLD : DELETED);

    for (size_t i = 0; i < batch->count; i++) {
        const struct candidate *candidate = &batch->all[i];
        json_t *draft = json_line_file(candidate->path, "draft");
        json_line_text(draft, "action", actions[candidate->fate]);
        json_line_text(draft, "name", candidate->entry.name);
        json_line_number(draft, "size", candidate->entry.size);
        json_line_signed(draft, "age", candidate->age > 0 ? candidate->age : 0);
        json_line_text(draft, "reason", ss_finding_text(candidate->entry.finding)->id);
        if (json_array_append_new(drafts, draft) < 0)
            report_must(NULL);
    }
    json_line_number(summary, dry ? "would_delete" : "deleted", done.count);
    json_line_number(summary, "bytes", done.bytes);
    json_line_number(summary, "may_be_whole", sum_of(batch, MAY_BE_WHOLE).count);
    json_line_number(summary, "young", sum_of(batch, YOUNG).count);
    json_line_number(summary, "failed", sum_of(batch, FAILED).count);
    json_line_text(object, "directory", batch->dir);
    json_line_put(object, "drafts", drafts);
    json_line_put(object, "summary", summary);
    json_line_print(object);
}

/* ---- all ---- */

struct wishes {
    int64_t older;
    bool also_complete, dry, force, json;
};

static enum ss_class ask_and_delete(struct batch *batch, const struct wishes *wishes)
{
    const struct sum old = sum_of(batch, OLD);

    if (!wishes->json) {
        print_list(batch, MAY_BE_WHOLE, "kept, it may be whole");
        print_list(batch, OLD, wishes->dry ? "would be deleted" : "to be deleted");
    }
    if (wishes->dry || old.count == 0)
        return SS_CLASS_INTACT;
    if (!wishes->force && !confirm("Delete %zu draft%s?", old.count, old.count == 1 ? "" : "s")) {
        report("nothing was deleted");
        return SS_CLASS_INVALID;
    }
    return delete_all(batch);
}

static enum ss_class expire(const char *dir, const struct wishes *wishes)
{
    struct batch batch = {.dir = dir, .older = wishes->older, .also_complete = wishes->also_complete};
    enum ss_class class;

    if (find(dir, &batch, &class)) {
        class = ss_class_worse(class, ask_and_delete(&batch, wishes));
        if (wishes->json)
            print_json(&batch, wishes->dry);
        else
            print_sum(&batch, wishes->dry ? "would be deleted" : "deleted", wishes->dry ? OLD : DELETED);
    }
    for (size_t i = 0; i < batch.count; i++)
        free(batch.all[i].path);
    free(batch.all);
    return class;
}

static enum ss_class run(int argc, char **argv)
{
    struct wishes wishes = {0};
    const char *older = NULL;
    uint64_t seconds = 0;
    const struct command_flag flags[] = {{"older-than", NULL, &older},   {"also-complete", &wishes.also_complete, NULL},
                                         {"dry-run", &wishes.dry, NULL}, {"force", &wishes.force, NULL},
                                         {"json", &wishes.json, NULL},   {NULL, NULL, NULL}};
    enum ss_class class;

    int first = command_parse(&command_expire, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (!older)
        return command_usage(&command_expire, "--older-than is missing");
    if (quantity_age(older, &seconds) < 0)
        return command_usage(&command_expire, "--older-than takes a number and one of s, m, h, d, w, such as 7d");
    if (!wishes.dry && !wishes.force && (wishes.json || !confirm_possible()))
        return command_usage(&command_expire, "%s, --force or --dry-run is needed",
                             wishes.json ? "with --json" : "without a terminal to ask on");
    wishes.older = (int64_t)seconds;
    class = SS_CLASS_INTACT;
    for (int i = first; i < argc; i++)
        class = ss_class_worse(class, expire(argv[i], &wishes));
    return class;
}

const struct command command_expire = {"expire", "--older-than DURATION [OPTION...] DIR...",
                                       "delete old interrupted drafts", help, run};
