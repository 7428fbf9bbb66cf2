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
#include "temporary.h"
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

/* Where it goes to. */
struct output {
    const char *path; /* as it was given; NULL: to the standard output */
    struct ss_place place;
    char name[NAME_MAX + 1];
    struct stat old; /* the file that is there already */
    bool has_old;
};

struct listing {
    FILE *text; /* the manifest, in memory until it is known to be whole */
    size_t count;
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
    listing->count++;
}

/* ---- the file ---- */

/* Looks before all is read where it will go. A symbolic link is not followed: in a directory that others write to it
 * might lead to any file of the caller's. Something else than a file is not replaced. Returns 0 or -errno. */
static int find_output(struct output *output)
{
    struct stat *old = &output->old;

    int r = ss_place_of(output->path, &output->place, output->name);
    if (r < 0)
        return r;
    output->has_old = fstatat(output->place.seen, output->name, old, AT_SYMLINK_NOFOLLOW) == 0;
    if (!output->has_old && errno != ENOENT)
        return -errno;
    if (output->has_old && !S_ISREG(old->st_mode))
        return -EISDIR;
    return faccessat(output->place.seen, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int write_all(int fd, const struct output *output, const char *text, size_t len)
{
    size_t done;
    mode_t mask = umask(0);

    umask(mask);
    if (fchmod(fd, output->has_old ? output->old.st_mode & 0777 : 0666 & ~mask) < 0)
        return -errno;
    int r = ss_pwrite_full(fd, text, len, 0, &done);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* Under its name there is the old one, or the whole new one. */
static int write_file(const struct output *output, const char *text, size_t len)
{
    char temporary[TEMPORARY_NAME_SIZE];
    int dir = output->place.seen;

    temporary_name(temporary_manifest, temporary_number(), temporary);
    SS_AUTO_CLOSE int fd = temporary_create(dir, temporary);
    if (fd < 0)
        return fd;
    int r = write_all(fd, output, text, len);
    if (r == 0 && renameat(dir, temporary, dir, output->name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, temporary, 0);
    return r < 0 ? r : ss_draft_sync_dir(dir);
}

/* ---- the run ---- */

static enum ss_class fail(const char *path, int error)
{
    struct ss_judgement why;

    if (error == -EFBIG)
        ss_judge(&why, SS_REQUEST_REFUSED, "it would be too long to be read: make several, of fewer files each");
    else if (error == -EISDIR || error == -ELOOP)
        ss_judge(&why, SS_NOT_A_FILE, "only a regular file, and no link, can be replaced");
    else
        ss_judge_errno(&why, error);
    return report_judgement(path, &why);
}

static enum ss_class put_out(const struct output *output, const char *text, size_t len)
{
    int r = 0;

    if (len > SS_MANIFEST_MAX)
        r = -EFBIG;
    else if (output->path)
        r = write_file(output, text, len);
    else
        fwrite(text, 1, len, stdout); /* main() looks whether it arrived */
    return r < 0 ? fail(output->path ? output->path : "the manifest", r) : SS_CLASS_INTACT;
}

static enum ss_class make_manifest(struct verify_run *run, const struct output *output)
{
    struct listing listing = {.worst = SS_CLASS_INTACT};
    char end[SS_MANIFEST_END_SIZE];
    char *text = NULL;
    size_t len = 0;

    listing.text = report_must(open_memstream(&text, &len));
    fputs(SS_MANIFEST_HEAD, listing.text);
    run->answer = list;
    run->context = &listing;
    verify_run(run);
    ss_manifest_end(listing.count, end);
    fputs(end, listing.text);
    if (fclose(listing.text) != 0)
        report_must(NULL);
    SS_AUTO_FREE char *whole = text;
    const char *stopped = limit_text(run->limit);
    if (stopped)
        listing.worst = ss_class_worse(listing.worst, SS_CLASS_TEMPORARY);
    if (listing.worst == SS_CLASS_INTACT)
        return put_out(output, whole, len);
    report("no manifest was written%s%s", stopped ? ": stopped by " : "", stopped ? stopped : "");
    return listing.worst;
}

static enum ss_class run(int argc, char **argv)
{
    bool recursive = false;
    struct output output = {.path = NULL, .place = SS_PLACE_NONE};
    const char *jobs = NULL, *rate = NULL;
    const struct command_flag flags[] = {{"recursive", &recursive, NULL},
                                         {"output", NULL, &output.path},
                                         {"jobs", NULL, &jobs},
                                         {"rate", NULL, &rate},
                                         {NULL, NULL, NULL}};
    uint64_t count = verify_run_jobs(), bytes = 0;
    struct limit limit;
    enum ss_class class;

    int first = command_parse(&command_manifest, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    if (jobs && quantity_count(jobs, QUEUE_THREADS_MAX, &count) < 0)
        return command_usage(&command_manifest, "--jobs is a number from 1 to %d", QUEUE_THREADS_MAX);
    if (rate && quantity_size(rate, &bytes) < 0)
        return command_usage(&command_manifest, "--rate is bytes a second: a number, and K, M, G or T behind it");
    int r = output.path ? find_output(&output) : 0;
    if (r < 0) {
        ss_place_close(&output.place);
        return fail(output.path, r);
    }
    struct verify_run run = {
        .wanted = {.level = SS_CHECK_WHOLE},
        .paths = argv + first,
        .count = (size_t)(argc - first),
        .recursive = recursive,
        .digests = true,
        .skip_drafts = true,
        .jobs = (unsigned)count,
        .own = output.has_old ? &output.old : NULL,
        .limit = &limit,
    };
    limit_start(&limit, bytes, 0, 0);
    class = make_manifest(&run, &output);
    limit_end(&limit);
    ss_place_close(&output.place);
    return class;
}

const struct command command_manifest = {"manifest", "[OPTION...] PATH...",
                                         "list images with their digests, to compare with later", help, run};
