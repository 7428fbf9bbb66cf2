/* saveseal verify: is an image what was saved? */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "bitmap.h"
#include "command.h"
#include "core/util.h"
#include "core/check/check.h"
#include "json_line.h"
#include "progress.h"
#include "report.h"
#include "text.h"

static const char help[] = "Compares each image with its seal: size, header and the whole content. A seal\n"
                           "made with digest=header knows no content; then the header has to do.\n"
                           "\n"
                           "  --json      one JSON object a line for each PATH, then a summary\n"
                           "  --quick     size and header only\n"
                           "  --deep      also all of what is inside, by its format\n"
                           "  --bitmap NAME[=DISK]  instead: can an incremental backup of this qcow2 image\n"
                           "              rely on the checkpoint NAME? DISK is libvirt's name for it\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all whole; 1 damaged (do not retry); 2 no such file, no\n"
                           "image, no permission; 3 temporary (being written, I/O trouble): try again;\n"
                           "4 no seal, so nothing is known; 5 with --bitmap: take a full backup.\n"
                           "Of several the worst, in the order 1 5 2 3 4 0.\n";

struct tally {
    size_t whole, headers, damaged, inconsistent, unknown, temporary, invalid;
    enum ss_class worst;
};

/* ---- checking ---- */

static void check_path(const char *path, enum ss_check_level level, struct ss_check *result)
{
    struct progress progress;
    const struct ss_check_options options = {
        .level = level,
        .run = {.progress = progress_step, .context = &progress},
    };

    progress_start(&progress, path);
    ss_check_path(path, &options, result);
    progress_end(&progress);
}

/* ---- telling ---- */

static void print_json(const char *path, const struct ss_check *result, const char *bitmap)
{
    json_t *object = json_line_file(path, result->draft ? "draft" : "image");

    json_line_judgement(object, &result->why);
    json_line_number(object, "size", result->size);
    if (bitmap)
        json_line_text(object, "bitmap", bitmap);
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

static void print_text(const char *path, const struct ss_check *result, const char *bitmap, bool quick)
{
    enum ss_class class = ss_finding_text(result->why.finding)->class;
    char size[TEXT_SIZE_MAX], when[TEXT_TIME_MAX];
    SS_AUTO_FREE char *name = text_quote(path);

    /* What was found in the file is the answer; that it could not be looked at is an error. */
    if (class == SS_CLASS_INVALID || result->why.finding == SS_IO_ERROR) {
        report_judgement(path, &result->why);
        return;
    }
    if (result->why.finding == SS_COMPLETE) {
        text_size(result->size, size);
        printf("%s: complete by its own marks (%s, %s; no seal)\n", name, result->inside.title, size);
        return;
    }
    if (class == SS_CLASS_INTACT && bitmap) {
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

static void count(const struct ss_check *result, bool bitmaps, struct tally *tally)
{
    enum ss_class class = ss_finding_text(result->why.finding)->class;

    switch (class) {
    case SS_CLASS_INTACT:
        *(result->content || bitmaps ? &tally->whole : &tally->headers) += 1;
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
    bool json = false, quick = false, deep = false;
    const char *bitmap = NULL;
    const struct command_flag flags[] = {{"json", &json, NULL},
                                         {"quick", &quick, NULL},
                                         {"deep", &deep, NULL},
                                         {"bitmap", NULL, &bitmap},
                                         {NULL, NULL, NULL}};
    struct tally tally = {.worst = SS_CLASS_INTACT};
    enum ss_class class;

    int first = command_parse(&command_verify, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (bitmap && (!bitmap[0] || bitmap[0] == '='))
        return command_usage(&command_verify, "--bitmap: a name is missing");
    if (bitmap && (quick || deep))
        return command_usage(&command_verify, "--bitmap goes without --quick and --deep");
    if (quick && deep)
        return command_usage(&command_verify, "--quick and --deep do not go together");
    const enum ss_check_level level = quick ? SS_CHECK_QUICK : deep ? SS_CHECK_DEEP : SS_CHECK_WHOLE;
    for (int i = first; i < argc; i++) {
        struct ss_check result = {0};
        if (bitmap)
            bitmap_check_named(argv[i], bitmap, &result.size, &result.why);
        else
            check_path(argv[i], level, &result);
        if (json)
            print_json(argv[i], &result, bitmap);
        else
            print_text(argv[i], &result, bitmap, quick);
        count(&result, bitmap != NULL, &tally);
        fflush(stdout); /* each answer as soon as it is known: the next file may take minutes */
    }
    if (json)
        print_json_summary(&tally);
    else
        print_summary(&tally, bitmap != NULL);
    return tally.worst;
}

const struct command command_verify = {"verify", "[OPTION...] PATH...",
                                       "compare images with their seals", help, run};
