/* saveseal verify: is an image what was saved? */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "core/util.h"
#include "quantity.h"
#include "queue.h"
#include "report.h"
#include "text.h"
#include "verify_run.h"

static const char help[] = "Compares each image with its seal: size, header and the whole content. A seal\n"
                           "made with digest=header knows no content; then the header has to do. Of a file\n"
                           "without a seal the marks of its format are looked at.\n"
                           "\n"
                           "  --quick     size and header only\n"
                           "  --deep      also all of what is inside, by its format\n"
                           "  -r, --recursive  all files in directories and below; DIR may be a mount\n"
                           "  --against FILE   compare with what FILE, a manifest (of saveseal manifest, or\n"
                           "              of sha256sum) has listed, or with another image FILE. With a\n"
                           "              manifest and no PATH: all files that are listed; with -r\n"
                           "              those below DIR that are not there are told\n"
                           "  --bitmap NAME[=DISK]  instead: can an incremental backup of this qcow2 image\n"
                           "              rely on the checkpoint NAME? DISK is libvirt's name for it\n"
                           "\n"
                           "  --json      one JSON object a line for each file, then a summary\n"
                           "  --jobs N    files at a time, and threads for a big one (default: one for\n"
                           "              each processor)\n"
                           "  --rate SIZE       read at most SIZE bytes a second (K, M, G, T: of 1024)\n"
                           "  --max-bytes SIZE  begin with no more files than have SIZE bytes together\n"
                           "  --max-time TIME   stop after TIME seconds (or 10m, 2h, 1d)\n"
                           "  --state FILE      remember in FILE what was found, so that the next run with\n"
                           "              the same FILE goes on where this one stopped\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all whole; 1 damaged (do not retry); 2 no such file, no\n"
                           "image, no permission; 3 temporary (being written, not reached, I/O trouble):\n"
                           "try again; 4 no seal, so nothing is known; 5 with --bitmap: take a full\n"
                           "backup. Of several the worst, in the order 1 5 2 3 4 0.\n";

const char verify_manifest[] = "manifest", verify_seal[] = "seal", verify_content[] = "content";

/* The command line. */
struct request {
    bool json, quick, deep, recursive;
    const char *bitmap, *against, *state, *jobs, *rate, *max_bytes, *max_time;
    uint64_t job_count, rate_bytes, limit_bytes, limit_seconds;
    char **paths;
    size_t count;
};

struct telling {
    const struct request *asked;
    const struct verify_wanted *wanted;
    struct limit *limit;
    struct tally tally;
};

/* ---- the command line ---- */

static bool wrong(enum ss_class *class, enum ss_class usage)
{
    *class = usage;
    return false;
}

/* Options that do not go together. */
static bool check_options(const struct request *asked, enum ss_class *class)
{
    const struct command *me = &command_verify;

    if (asked->bitmap && (!asked->bitmap[0] || asked->bitmap[0] == '='))
        return wrong(class, command_usage(me, "--bitmap: a name is missing"));
    if (asked->bitmap && (asked->quick || asked->deep))
        return wrong(class, command_usage(me, "--bitmap goes without --quick and --deep"));
    if (asked->bitmap && (asked->recursive || asked->against || asked->state))
        return wrong(class, command_usage(me, "--bitmap goes without --recursive, --against and --state"));
    if (asked->quick && asked->deep)
        return wrong(class, command_usage(me, "--quick and --deep do not go together"));
    if (asked->quick && asked->against)
        return wrong(class, command_usage(me, "--against goes without --quick: it is the content that is compared"));
    if (asked->count == 0 && (!asked->against || asked->recursive))
        return wrong(class, command_usage(me, "a name is missing"));
    return true;
}

static bool check_values(struct request *asked, enum ss_class *class)
{
    const struct command *me = &command_verify;

    if (asked->jobs && quantity_count(asked->jobs, QUEUE_THREADS_MAX, &asked->job_count) < 0)
        return wrong(class, command_usage(me, "--jobs is a number from 1 to %d", QUEUE_THREADS_MAX));
    if (asked->rate && quantity_size(asked->rate, &asked->rate_bytes) < 0)
        return wrong(class, command_usage(me, "--rate is bytes a second: a number, and K, M, G or T behind it"));
    if (asked->max_bytes && quantity_size(asked->max_bytes, &asked->limit_bytes) < 0)
        return wrong(class, command_usage(me, "--max-bytes is a number, and K, M, G or T behind it"));
    if (asked->max_time && quantity_seconds(asked->max_time, &asked->limit_seconds) < 0)
        return wrong(class, command_usage(me, "--max-time is a number of seconds, or one with m, h, d or w behind it"));
    return true;
}

static bool parse(int argc, char **argv, struct request *asked, enum ss_class *class)
{
    const struct command_flag flags[] = {{"json", &asked->json, NULL},           {"quick", &asked->quick, NULL},
                                         {"deep", &asked->deep, NULL},           {"recursive", &asked->recursive, NULL},
                                         {"against", NULL, &asked->against},     {"bitmap", NULL, &asked->bitmap},
                                         {"jobs", NULL, &asked->jobs},           {"rate", NULL, &asked->rate},
                                         {"max-bytes", NULL, &asked->max_bytes}, {"max-time", NULL, &asked->max_time},
                                         {"state", NULL, &asked->state},         {NULL, NULL, NULL}};

    int first = command_parse(&command_verify, argc, argv, flags, 0, INT_MAX, class);
    if (first < 0)
        return false;
    asked->paths = argv + first;
    asked->count = (size_t)(argc - first);
    return check_options(asked, class) && check_values(asked, class);
}

/* ---- the answers ---- */

static void tell(void *context, const struct verify_answer *answer)
{
    struct telling *telling = context;

    if (telling->asked->json)
        verify_json_answer(telling->wanted, answer);
    else
        verify_text_answer(telling->wanted, answer);
    tally_add(&telling->tally, &answer->check, answer->item.dir != NULL);
    if (fflush(stdout) != 0 || ferror(stdout)) /* each answer as soon as it is known: the next file may take minutes */
        limit_stop_output(telling->limit);
}

static void tell_summary(struct telling *telling, const char *stopped)
{
    if (telling->asked->json)
        verify_json_summary(&telling->tally, stopped);
    else
        verify_text_summary(telling->wanted, &telling->tally, stopped);
}

/* ---- the run ---- */

/* The files of a manifest, in the order of their names. The caller frees the array, not the names. */
static char **listed_paths(const struct against *against)
{
    char **paths = report_must(calloc(against->manifest.count + 1, sizeof *paths));

    for (size_t i = 0; i < against->manifest.count; i++)
        paths[i] = against->manifest.entry[i].name;
    return paths;
}

static enum ss_class run_against(struct verify_run *run, const struct request *asked, struct telling *telling)
{
    SS_AUTO_FREE char **listed = NULL;

    if (run->against && run->against->is_manifest && run->count == 0) {
        listed = listed_paths(run->against);
        run->paths = listed;
        run->count = run->against->manifest.count;
    }
    if (run->count == 0) /* of an image that all else would be compared with, or of an empty list */
        return command_usage(&command_verify, "a name is missing");
    verify_run(run);
    const char *stopped = limit_text(run->limit);
    if (stopped)
        telling->tally.worst = ss_class_worse(telling->tally.worst, SS_CLASS_TEMPORARY);
    /* The summary has the last word, with the exit status: so what can still fail comes before it. */
    int r = run->state ? state_save(run->state, !stopped) : 0;
    if (r < 0) {
        struct ss_judgement why;
        ss_judge_errno(&why, r);
        telling->tally.worst = ss_class_worse(telling->tally.worst, report_judgement(asked->state, &why));
    }
    tell_summary(telling, stopped);
    return telling->tally.worst;
}

static int admit(void *context, size_t len)
{
    return limit_admit(context, len);
}

static bool open_against(struct verify_run *run, const char *path, struct against *against, enum ss_class *class)
{
    const struct ss_digest_run how = {
        .threads = run->jobs, .stop = &run->limit->stop, .admit = admit, .context = run->limit};
    struct ss_judgement why;

    if (!against_open(path, &how, against, &why)) {
        *class = report_judgement(path, &why);
        return false;
    }
    run->against = against;
    run->own = &against->st;
    run->wanted.against = path;
    run->wanted.reference = against->is_manifest ? verify_manifest : against->by_seal ? verify_seal : verify_content;
    if (run->recursive && !against->is_manifest)
        return wrong(class, command_usage(&command_verify, "--recursive needs a manifest to go --against"));
    return true;
}

static bool open_state(struct verify_run *run, const struct request *asked, enum ss_class *class)
{
    static const char *const modes[] = {
        [SS_CHECK_QUICK] = "quick", [SS_CHECK_WHOLE] = "whole", [SS_CHECK_DEEP] = "deep"};
    struct ss_judgement why;
    char stamp[SS_VERIFY_STAMP_SIZE] = "";

    /* Of another version of the manifest the answers would be others. */
    if (run->against)
        ss_verify_stamp(&run->against->st, run->against->fs, stamp);
    SS_AUTO_FREE char *against =
        report_format("%s%s%s", asked->against ? asked->against : "", *stamp ? " " : "", stamp);
    run->state = state_open(asked->state, modes[run->wanted.level], against, &why);
    if (!run->state)
        *class = report_judgement(asked->state, &why);
    return run->state != NULL;
}

static enum ss_class run(int argc, char **argv)
{
    struct request asked = {.json = false};
    enum ss_class class;

    if (!parse(argc, argv, &asked, &class))
        return class;
    struct limit limit;
    struct against against = {.is_manifest = false};
    struct verify_run run = {
        .wanted = {.level = asked.quick  ? SS_CHECK_QUICK
                            : asked.deep ? SS_CHECK_DEEP
                                         : SS_CHECK_WHOLE,
                   .bitmap = asked.bitmap},
        .paths = asked.paths,
        .count = asked.count,
        .recursive = asked.recursive,
        .jobs = asked.jobs ? (unsigned)asked.job_count : verify_run_jobs(),
        .limit = &limit,
        .answer = tell,
    };
    struct telling telling = {.asked = &asked, .wanted = &run.wanted, .limit = &limit};
    run.context = &telling;
    limit_start(&limit, asked.rate_bytes, asked.limit_bytes, asked.limit_seconds);
    if ((!asked.against || open_against(&run, asked.against, &against, &class)) &&
        (!asked.state || open_state(&run, &asked, &class)))
        class = run_against(&run, &asked, &telling);
    if (run.state)
        state_close(run.state);
    against_close(&against);
    limit_end(&limit);
    return class;
}

const struct command command_verify = {"verify", "[OPTION...] PATH...", "compare images with their seals", help, run};
