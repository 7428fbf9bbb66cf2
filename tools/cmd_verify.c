/* saveseal verify: is an image what was saved? */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "bitmap.h"
#include "command.h"
#include "core/scan.h"
#include "core/util.h"
#include "draftfile.h"
#include "image.h"
#include "json_line.h"
#include "progress.h"
#include "report.h"
#include "text.h"

static const char help[] = "Compares each image with its seal: size, header and the whole content. A seal\n"
                           "made with digest=header knows no content; then the header has to do.\n"
                           "\n"
                           "  --json      one JSON object a line for each PATH, then a summary\n"
                           "  --quick     size and header only\n"
                           "  --bitmap NAME[=DISK]  instead: can an incremental backup of this qcow2 image\n"
                           "              rely on the checkpoint NAME? DISK is libvirt's name for it\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all whole; 1 damaged (do not retry); 2 no such file, no\n"
                           "image, no permission; 3 temporary (being written, I/O trouble): try again;\n"
                           "4 no seal, so nothing is known; 5 with --bitmap: take a full backup.\n"
                           "Of several the worst, in the order 1 5 2 3 4 0.\n";

struct result {
    struct judgement why;
    bool draft;
    bool content; /* the whole content was compared, not the header only */
    bool has_seal;
    const char *bitmap; /* only that was asked for */
    uint64_t size;
    struct ss_seal seal;
};

struct tally {
    size_t whole, headers, damaged, inconsistent, unknown, temporary, invalid;
    enum ss_class worst;
};

/* ---- checking ---- */

static void check_draft(const char *path, struct result *result)
{
    PLACE_AUTO_CLOSE struct place place = PLACE_NONE;
    char name[NAME_MAX + 1];
    struct ss_scan_entry entry = {0};

    int r = place_of(path, &place, name);
    if (r == 0)
        r = place.hidden;
    if (r == 0)
        r = ss_scan_file(place.dir, name, &entry);
    if (r == -EINVAL) {
        judge(&result->why, SS_NOT_A_FILE, "%s", "");
    } else if (r < 0) {
        judge_errno(&result->why, r);
    } else {
        result->size = entry.size;
        judge(&result->why, entry.finding, "%s", entry.detail);
    }
}

static void check_image(const char *path, bool quick, struct result *result)
{
    struct progress progress;
    enum ss_finding finding;
    SS_AUTO_CLOSE int fd = -1;

    if (!image_open(path, &fd, &result->size, &result->why) || !image_seal(fd, &result->seal, &result->why))
        return;
    result->has_seal = true;
    int r;
    if (quick) {
        r = ss_seal_check_header(fd, &result->seal, &finding);
    } else {
        struct ss_digest_run run = {.progress = progress_step, .context = &progress};
        progress_start(&progress, path, result->seal.size);
        r = ss_seal_check_content(fd, &result->seal, &run, &finding);
        progress_end(&progress);
    }
    if (r < 0) {
        judge_errno(&result->why, r);
        return;
    }
    judge(&result->why, finding, "%s", "");
    if (finding == SS_TRUNCATED || finding == SS_GROWN)
        judge(&result->why, finding, "%" PRIu64 " bytes, sealed with %" PRIu64, result->size, result->seal.size);
    result->content = finding == SS_INTACT && !quick && result->seal.has_verity;
}

/* ---- telling ---- */

static void print_json(const char *path, const struct result *result)
{
    json_t *object = json_line_file(path, result->draft ? "draft" : "image");

    json_line_judgement(object, &result->why);
    json_line_number(object, "size", result->size);
    if (result->bitmap)
        json_line_text(object, "bitmap", result->bitmap);
    else if (result->why.finding == SS_INTACT)
        json_line_text(object, "checked", result->content ? "content" : "header");
    if (result->has_seal) {
        json_line_text(object, "format", ss_format_name(result->seal.format));
        json_line_number(object, "sealed_size", result->seal.size);
        json_line_time(object, "sealed", result->seal.sealed);
        json_line_text(object, "writer", result->seal.writer);
    }
    json_line_print(object);
}

static void print_text(const char *path, const struct result *result, bool quick)
{
    enum ss_class class = ss_finding_text(result->why.finding)->class;
    char size[TEXT_SIZE_MAX], when[TEXT_TIME_MAX];
    SS_AUTO_FREE char *name = text_quote(path);

    /* What was found in the file is the answer; that it could not be looked at is an error. */
    if (class == SS_CLASS_INVALID || result->why.finding == SS_IO_ERROR) {
        report_judgement(path, &result->why);
        return;
    }
    if (class == SS_CLASS_INTACT && result->bitmap) {
        printf("%s: the bitmap is good\n", name);
        return;
    }
    if (class == SS_CLASS_INTACT) {
        text_size(result->size, size);
        text_time(result->seal.sealed, when);
        printf("%s: %s (seal of %s, %s%s)\n", name, result->content ? "whole" : "header intact", when, size,
               result->content ? ""
               : quick         ? "; quick: content not checked"
                               : "; its seal has no digest of the content");
        return;
    }
    SS_AUTO_FREE char *text = judgement_text(&result->why);
    printf("%s: %s: %s\n", name, ss_class_name(class), text);
}

static void count(const struct result *result, struct tally *tally)
{
    enum ss_class class = ss_finding_text(result->why.finding)->class;

    switch (class) {
    case SS_CLASS_INTACT:
        *(result->content || result->bitmap ? &tally->whole : &tally->headers) += 1;
        break;
    case SS_CLASS_DAMAGED:
        tally->damaged++;
        break;
    case SS_CLASS_INVALID:
        tally->invalid++;
        break;
    case SS_CLASS_TEMPORARY:
        tally->temporary++;
        break;
    case SS_CLASS_UNKNOWN:
        tally->unknown++;
        break;
    case SS_CLASS_INCONSISTENT:
        tally->inconsistent++;
        break;
    }
    tally->worst = ss_class_worse(tally->worst, class);
}

static void print_json_summary(const struct tally *tally)
{
    json_t *object = json_line_object(), *summary = json_line_object();

    json_line_number(summary, "whole", tally->whole);
    json_line_number(summary, "header_intact", tally->headers);
    json_line_number(summary, "damaged", tally->damaged);
    json_line_number(summary, "inconsistent", tally->inconsistent);
    json_line_number(summary, "unknown", tally->unknown);
    json_line_number(summary, "temporary", tally->temporary);
    json_line_number(summary, "invalid", tally->invalid);
    json_line_put(object, "summary", summary);
    json_line_number(object, "exit", (uint64_t)tally->worst);
    json_line_print(object);
}

static void print_summary(const struct tally *tally, bool bitmaps)
{
    const struct {
        size_t count;
        const char *words;
    } parts[] = {
        {tally->headers, "with intact header"}, {tally->damaged, "damaged"},
        {tally->inconsistent, "inconsistent"},  {tally->unknown, "unknown"},
        {tally->temporary, "not now"},          {tally->invalid, "not checked"},
    };

    printf("%zu %s%s %s", tally->whole, bitmaps ? "bitmap" : "image", tally->whole == 1 ? "" : "s",
           bitmaps ? "good" : "whole");
    for (size_t i = 0; i < SS_ARRAY_SIZE(parts); i++)
        if (parts[i].count)
            printf(", %zu %s", parts[i].count, parts[i].words);
    putchar('\n');
}

static enum ss_class run(int argc, char **argv)
{
    bool json = false, quick = false;
    const char *bitmap = NULL;
    const struct command_flag flags[] = {
        {"json", &json, NULL}, {"quick", &quick, NULL}, {"bitmap", NULL, &bitmap}, {NULL, NULL, NULL}};
    struct tally tally = {.worst = SS_CLASS_INTACT};
    enum ss_class class;

    int first = command_parse(&command_verify, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (bitmap && (!bitmap[0] || bitmap[0] == '='))
        return command_usage(&command_verify, "--bitmap: a name is missing");
    if (bitmap && quick)
        return command_usage(&command_verify, "--quick and --bitmap do not go together");
    for (int i = first; i < argc; i++) {
        struct result result = {.draft = draftfile_named(argv[i])};
        result.bitmap = bitmap;
        if (bitmap)
            bitmap_check_named(argv[i], bitmap, &result.size, &result.why);
        else if (result.draft)
            check_draft(argv[i], &result);
        else
            check_image(argv[i], quick, &result);
        if (json)
            print_json(argv[i], &result);
        else
            print_text(argv[i], &result, quick);
        count(&result, &tally);
        fflush(stdout); /* each answer as soon as it is known: the next file may take minutes */
    }
    if (json)
        print_json_summary(&tally);
    else
        print_summary(&tally, bitmap != NULL);
    return tally.worst;
}

const struct command command_verify = {"verify", "[--json] [--quick | --bitmap NAME[=DISK]] PATH...",
                                       "compare images with their seals", help, run};
