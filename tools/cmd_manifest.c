/* saveseal manifest: what verify --against and sha256sum -c compare with. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "core/check/place.h"
#include "core/draft.h"
#include "core/util.h"
#include "quantity.h"
#include "queue.h"
#include "report.h"
#include "verify_run.h"

static const char help[] = "Lists files with size, fs-verity digest and SHA-256, for saveseal verify\n"
                           "--against and for sha256sum -c. Files that have a seal are compared with it\n"
                           "first, and of the others the marks of their format are looked at: nothing is\n"
                           "written when one is damaged, being written or can not be read. Drafts are no\n"
                           "images, and in a directory they are left out.\n"
                           "\n"
                           "  -r, --recursive    all files in directories and below\n"
                           "  -o, --output FILE  write to FILE, which is replaced when all is well\n"
                           "  --jobs N    files at a time (default: one for each processor)\n"
                           "  --rate SIZE        read at most SIZE bytes a second (K, M, G, T: of 1024)\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all listed; else nothing is written: 1 a file is damaged; 2 no\n"
                           "such file, no image, no permission; 3 temporary: try again.\n";

#define TEMPORARY ".saveseal-manifest-XXXXXX"

struct listing {
    FILE *text; /* the manifest, in memory until it is known to be whole */
    enum ss_class worst;
};

static void list(void *context, const struct verify_answer *answer)
{
    const struct ss_check *check = &answer->check;
    struct listing *listing = context;

    if (!check->has_digests) {
        listing->worst = ss_class_worse(listing->worst, report_judgement(answer->item.path, &check->why));
        return;
    }
    const struct ss_reference is = {.size = check->size, .verity = check->verity, .sha256 = check->sha256};
    const char *path = answer->item.path;
    while (path[0] == '.' && path[1] == '/') { /* sha256sum and verify find it all the same */
        path += 2;
        path += strspn(path, "/");
    }
    SS_AUTO_FREE char *lines = report_must(ss_manifest_lines(path, &is));
    if (fputs(lines, listing->text) == EOF)
        report_must(NULL);
}

/* ---- the file ---- */

static int write_all(int fd, const char *text, size_t len)
{
    size_t done;
    mode_t mask = umask(0);

    umask(mask);
    if (fchmod(fd, 0666 & ~mask) < 0)
        return -errno;
    int r = ss_pwrite_full(fd, text, len, 0, &done);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* Under its name there is the old one, or the whole new one. */
static int write_file(const char *path, const char *text, size_t len)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    SS_AUTO_FREE char *temporary = report_must(ss_place_sibling(path, TEMPORARY));
    char name[NAME_MAX + 1];

    int r = ss_place_of(path, &place, name);
    if (r < 0)
        return r;
    SS_AUTO_CLOSE int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = write_all(fd, text, len);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r < 0 ? r : ss_draft_sync_dir(place.seen);
}

/* The file behind links, if there is one already. Something else than a file is not replaced. */
static int find_output(const char *output, char **path, struct stat *st)
{
    *path = NULL;
    if (stat(output, st) < 0) {
        if (errno != ENOENT)
            return -errno;
        *path = report_must(strdup(output));
        return 0;
    }
    if (!S_ISREG(st->st_mode))
        return -EISDIR;
    *path = realpath(output, NULL);
    return *path ? 1 : -errno;
}

/* ---- the run ---- */

static enum ss_class fail(const char *path, int error)
{
    struct ss_judgement why;

    if (error == -EISDIR)
        ss_judge(&why, SS_NOT_A_FILE, "only a regular file can be replaced");
    else
        ss_judge_errno(&why, error);
    return report_judgement(path, &why);
}

static enum ss_class put_out(const char *path, const char *text, size_t len)
{
    int r = 0;

    if (path)
        r = write_file(path, text, len);
    else
        fwrite(text, 1, len, stdout); /* main() looks whether it arrived */
    return r < 0 ? fail(path, r) : SS_CLASS_INTACT;
}

static enum ss_class make_manifest(struct verify_run *run, const char *path)
{
    struct listing listing = {.worst = SS_CLASS_INTACT};
    char *text = NULL;
    size_t len = 0;

    listing.text = report_must(open_memstream(&text, &len));
    fputs(SS_MANIFEST_HEAD, listing.text);
    run->answer = list;
    run->context = &listing;
    verify_run(run);
    if (fclose(listing.text) != 0)
        report_must(NULL);
    SS_AUTO_FREE char *whole = text;
    const char *stopped = limit_text(run->limit);
    if (stopped)
        listing.worst = ss_class_worse(listing.worst, SS_CLASS_TEMPORARY);
    if (listing.worst == SS_CLASS_INTACT)
        return put_out(path, whole, len);
    report("no manifest was written%s%s", stopped ? ": stopped by " : "", stopped ? stopped : "");
    return listing.worst;
}

static enum ss_class run(int argc, char **argv)
{
    bool recursive = false;
    const char *output = NULL, *jobs = NULL, *rate = NULL;
    const struct command_flag flags[] = {{"recursive", &recursive, NULL},
                                         {"output", NULL, &output},
                                         {"jobs", NULL, &jobs},
                                         {"rate", NULL, &rate},
                                         {NULL, NULL, NULL}};
    uint64_t count = verify_run_jobs(), bytes = 0;
    SS_AUTO_FREE char *path = NULL;
    struct stat own;
    struct limit limit;
    enum ss_class class;

    int first = command_parse(&command_manifest, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (jobs && quantity_count(jobs, QUEUE_THREADS_MAX, &count) < 0)
        return command_usage(&command_manifest, "--jobs is a number from 1 to %d", QUEUE_THREADS_MAX);
    if (rate && quantity_size(rate, &bytes) < 0)
        return command_usage(&command_manifest, "--rate is bytes a second: a number, and K, M, G or T behind it");
    int r = output ? find_output(output, &path, &own) : 0;
    if (r < 0)
        return fail(output, r);
    struct verify_run run = {
        .wanted = {.level = SS_CHECK_WHOLE},
        .paths = argv + first,
        .count = (size_t)(argc - first),
        .recursive = recursive,
        .digests = true,
        .skip_drafts = true,
        .jobs = (unsigned)count,
        .own = r == 1 ? &own : NULL,
        .limit = &limit,
    };
    limit_start(&limit, bytes, 0, 0);
    class = make_manifest(&run, path);
    limit_end(&limit);
    return class;
}

const struct command command_manifest = {"manifest", "[OPTION...] PATH...",
                                         "list images with their digests, to compare with later", help, run};
