/* saveseal status: what is in a save directory. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "core/scan.h"
#include "core/util.h"
#include "json_line.h"
#include "core/check/place.h"
#include "report.h"
#include "text.h"

static const char help[] = "Lists the images and the drafts in each DIR (default: the current directory),\n"
                           "with state, size, age, and the reason of what is not sealed. Below a draft\n"
                           "stands the path that salvage and discard take.\n"
                           "\n"
                           "States: sealed, unsealed (nothing is known), writing, waiting (its program has\n"
                           "more to write), interrupted (will not become public), damaged. An image's\n"
                           "header is compared with its seal; its content only by saveseal verify.\n"
                           "\n"
                           "  --json      one JSON object a line for each DIR\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 when all could be read, whatever the states are; 2 or 3 when a\n"
                           "directory or a file in it could not.\n";

struct listing {
    struct ss_scan_entry *entries;
    size_t count, capacity;
};

static int add_entry(void *context, const struct ss_scan_entry *entry)
{
    struct listing *listing = context;

    if (listing->count == listing->capacity) {
        listing->capacity = listing->capacity ? 2 * listing->capacity : 64;
        listing->entries = report_must(reallocarray(listing->entries, listing->capacity, sizeof *listing->entries));
    }
    listing->entries[listing->count++] = *entry;
    return 0;
}

static int compare_entries(const void *left, const void *right)
{
    const struct ss_scan_entry *a = left, *b = right;
    int order = strcmp(a->name, b->name);

    return order ? order : strcmp(a->id, b->id); /* an image has no id and comes before its drafts */
}

/* ---- for programs ---- */

static json_t *json_entry(const char *dir, const struct ss_scan_entry *entry, time_t now)
{
    json_t *object = json_line_object();

    json_line_text(object, "name", entry->name);
    json_line_text(object, "kind", entry->draft ? "draft" : "image");
    json_line_text(object, "state", ss_state_name(entry->state));
    if (entry->draft) {
        SS_AUTO_FREE char *path = text_draft_path(dir, entry->id);
        json_line_text(object, "id", entry->id);
        json_line_text(object, "path", path);
    }
    json_line_number(object, "size", entry->size);
    json_line_number(object, "allocated", entry->allocated);
    json_line_signed(object, "age", now > entry->since ? now - entry->since : 0);
    json_line_time(object, "since", entry->since);
    json_line_text(object, "reason", ss_finding_text(entry->finding)->id);
    json_line_text(object, "detail", entry->detail);
    json_line_text(object, "writer", entry->writer);
    if (entry->draft)
        json_line_signed(object, "pid", entry->pid);
    return object;
}

static void print_json(const char *dir, const struct listing *listing, const size_t counts[SS_STATE_COUNT], bool hidden)
{
    json_t *object = json_line_object(), *entries = report_must(json_array()), *summary = json_line_object();
    time_t now = time(NULL);

    for (size_t i = 0; i < listing->count; i++)
        if (json_array_append_new(entries, json_entry(dir, &listing->entries[i], now)) < 0)
            report_must(NULL);
    for (int state = 0; state < SS_STATE_COUNT; state++)
        json_line_number(summary, ss_state_name((enum ss_state)state), counts[state]);
    json_line_text(object, "directory", dir);
    json_line_bool(object, "drafts_visible", !hidden);
    json_line_put(object, "entries", entries);
    json_line_put(object, "summary", summary);
    json_line_print(object);
}

/* ---- for people ---- */

static void print_row(const struct ss_scan_entry *entry, const char *name, size_t width, time_t now)
{
    char size[TEXT_SIZE_MAX], age[TEXT_AGE_MAX];
    SS_AUTO_FREE char *detail = text_safe(entry->detail);
    bool good = entry->state == SS_STATE_SEALED || entry->finding == SS_UNSEALED;

    text_size(entry->size, size);
    text_age(now - entry->since, age);
    printf("%s%*s  %-11s  %10s  %8s", name, (int)(width - text_width(name)), "", ss_state_name(entry->state), size,
           age);
    if (!good)
        printf("  %s%s%s", ss_finding_text(entry->finding)->id, *detail ? ": " : "", detail);
    putchar('\n');
}

static void print_table(const char *dir, const struct listing *listing)
{
    size_t width = strlen("NAME");
    time_t now = time(NULL);

    if (listing->count == 0)
        return;
    for (size_t i = 0; i < listing->count; i++) {
        SS_AUTO_FREE char *name = text_quote(listing->entries[i].name);
        width = text_width(name) > width ? text_width(name) : width;
    }
    printf("%-*s  %-11s  %10s  %8s  REASON\n", (int)width, "NAME", "STATE", "SIZE", "AGE");
    for (size_t i = 0; i < listing->count; i++) {
        const struct ss_scan_entry *entry = &listing->entries[i];
        SS_AUTO_FREE char *name = *entry->name ? text_quote(entry->name) : report_format("?");
        print_row(entry, name, width, now);
        if (entry->draft) {
            SS_AUTO_FREE char *path = text_draft_path(dir, entry->id);
            SS_AUTO_FREE char *quoted = text_quote(path);
            printf("  %s\n", quoted);
        }
    }
}

static void print_summary(const size_t counts[SS_STATE_COUNT])
{
    static const char *const words[SS_STATE_COUNT] = {
        [SS_STATE_UNSEALED] = "unsealed",       [SS_STATE_WRITING] = "being written", [SS_STATE_WAITING] = "waiting",
        [SS_STATE_INTERRUPTED] = "interrupted", [SS_STATE_DAMAGED] = "damaged",
    };

    printf("%zu image%s sealed", counts[SS_STATE_SEALED], counts[SS_STATE_SEALED] == 1 ? "" : "s");
    for (int state = 0; state < SS_STATE_COUNT; state++)
        if (words[state] && counts[state])
            printf(", %zu %s", counts[state], words[state]);
    putchar('\n');
}

/* ---- both ---- */

/* What could not be read is an error of the report, and not only a row in it. */
static enum ss_class report_unreadable(const char *dir, const struct listing *listing)
{
    enum ss_class worst = SS_CLASS_INTACT;

    for (size_t i = 0; i < listing->count; i++) {
        const struct ss_scan_entry *entry = &listing->entries[i];
        struct ss_judgement why;
        if (entry->finding != SS_IO_ERROR && entry->finding != SS_NO_PERMISSION)
            continue;
        SS_AUTO_FREE char *path =
            entry->draft ? text_draft_path(dir, entry->id) : report_format("%s/%s", dir, entry->name);
        ss_judge(&why, entry->finding, "%s", entry->detail);
        worst = ss_class_worse(worst, report_judgement(path, &why));
    }
    return worst;
}

/* Reads one directory. Returns true; or false when there is nothing to print, with the class reported. */
static bool read_dir(const char *dir, struct listing *listing, bool *hidden, enum ss_class *class)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    struct ss_judgement why;

    int r = ss_place_open(dir, &place);
    if (r == 0)
        r = ss_scan(place.dir, add_entry, listing);
    if (r < 0) {
        *class = report_directory(dir, r);
        return false;
    }
    *hidden = place.hidden != 0;
    if (*hidden) {
        ss_judge_errno(&why, place.hidden);
        snprintf(why.detail, sizeof why.detail, "the drafts behind this mount can not be seen: %s",
                 strerror(-place.hidden));
        *class = report_judgement(dir, &why);
    }
    return true;
}

static enum ss_class status_dir(const char *dir, bool json, bool heading)
{
    struct listing listing = {0};
    size_t counts[SS_STATE_COUNT] = {0};
    enum ss_class class = SS_CLASS_INTACT;
    bool hidden;

    if (read_dir(dir, &listing, &hidden, &class)) {
        if (listing.count > 0)
            qsort(listing.entries, listing.count, sizeof *listing.entries, compare_entries);
        for (size_t i = 0; i < listing.count; i++)
            counts[listing.entries[i].state]++;
        if (json) {
            print_json(dir, &listing, counts, hidden);
        } else {
            SS_AUTO_FREE char *quoted = text_quote(dir);
            if (heading)
                printf("%s:\n", quoted);
            print_table(dir, &listing);
            print_summary(counts);
        }
        class = ss_class_worse(class, report_unreadable(dir, &listing));
    }
    free(listing.entries);
    return class;
}

static enum ss_class run(int argc, char **argv)
{
    static char here[] = ".";
    char *fallback[] = {here};
    enum ss_class class = SS_CLASS_INTACT;
    bool json = false;
    const struct command_flag flags[] = {{"json", &json, NULL}, {NULL, NULL, NULL}};

    int first = command_parse(&command_status, argc, argv, flags, 0, INT_MAX, &class);
    if (first < 0)
        return class;
    char **dirs = first < argc ? argv + first : fallback;
    int count = first < argc ? argc - first : 1;
    for (int i = 0; i < count; i++) {
        if (i > 0 && !json)
            putchar('\n');
        class = ss_class_worse(class, status_dir(dirs[i], json, count > 1));
    }
    return class;
}

const struct command command_status = {"status", "[--json] [DIR...]", "list images and drafts with their state", help,
                                       run};
