#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/scan.h"
#include "core/util.h"
#include "directory.h"
#include "draftfile.h"
#include "image.h"
#include "place.h"

static void check_draft(const struct ss_place *place, const char *name, struct ss_check *check)
{
    struct ss_scan_entry entry = {0};

    int r = place->hidden;
    if (r == 0)
        r = ss_scan_file(place->dir, name, &entry);
    if (r == -EINVAL) {
        ss_judge(&check->why, SS_NOT_A_FILE, "%s", "");
    } else if (r < 0) {
        ss_judge_errno(&check->why, r);
    } else {
        check->size = entry.size;
        ss_judge(&check->why, entry.finding, "%s", entry.detail);
    }
}

/* Waits for its turn to digest a long file. Returns how the digest is to be run. */
static struct ss_digest_run begin_digest(const struct ss_check_options *options, const struct ss_check *check)
{
    struct ss_digest_run run = options->run;

    if (options->turn && check->size > SS_CHECK_LONG)
        pthread_mutex_lock(options->turn);
    else if (options->turn)
        run.threads = 1;
    return run;
}

static void end_digest(const struct ss_check_options *options, const struct ss_check *check)
{
    if (options->turn && check->size > SS_CHECK_LONG)
        pthread_mutex_unlock(options->turn);
}

/* Returns 0 with the seal's answer, or -errno. */
static int check_sealed(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    enum ss_finding finding;
    int r;

    if (options->level == SS_CHECK_QUICK) {
        r = ss_seal_check_header(fd, &check->seal, &finding);
    } else {
        const struct ss_digest_run run = begin_digest(options, check);
        r = ss_seal_check_content(fd, &check->seal, &run, &finding);
        end_digest(options, check);
    }
    if (r < 0)
        return r;
    ss_judge(&check->why, finding, "%s", "");
    if (finding == SS_TRUNCATED || finding == SS_GROWN)
        ss_judge(&check->why, finding, "%" PRIu64 " bytes, sealed with %" PRIu64, check->size, check->seal.size);
    check->content = finding == SS_INTACT && options->level != SS_CHECK_QUICK && check->seal.has_verity;
    return 0;
}

struct look {
    const struct ss_digest_run *run;
    uint64_t done; /* bytes */
};

/* The formats tell afterwards what they have read, in steps of some MiB. */
static int on_look(void *context, uint64_t done, uint64_t size)
{
    struct look *look = context;
    int r = 0;

    while (r == 0 && look->run->admit && look->done < done) {
        size_t len = done - look->done < SS_DIGEST_UNIT ? (size_t)(done - look->done) : SS_DIGEST_UNIT;
        r = look->run->admit(look->run->context, len);
        look->done += len;
    }
    if (r == 0 && look->run->progress)
        r = look->run->progress(look->run->context, done, size);
    return r;
}

/* Returns 0, or -errno. */
static int look_inside(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    struct look look = {.run = &options->run};
    const struct ss_inside_options inside = {
        .deep = options->level == SS_CHECK_DEEP,
        .stop = options->run.stop,
        .progress = on_look,
        .context = &look,
        .memory = options->memory,
    };

    int r = ss_inside_check(fd, check->size, &inside, &check->inside);
    if (r < 0)
        return r;
    check->looked_inside = true;
    return 0;
}

void ss_judge_inside(const struct ss_check_options *options, struct ss_check *check)
{
    const struct ss_inside *inside = &check->inside;
    enum ss_class class = ss_finding_text(inside->finding)->class;

    if (class == SS_CLASS_DAMAGED || options->level == SS_CHECK_DEEP)
        ss_judge(&check->why, inside->finding, "%s", inside->detail);
    else if (inside->finding == SS_COMPLETE)
        ss_judge(&check->why, SS_UNSEALED, "but it is complete by its own marks: --deep looks at all of it");
    else
        ss_judge(&check->why, SS_UNSEALED, "%s", "");
}

/* Returns 0 with an answer, or -errno. */
static int check_unsealed(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    struct ss_format_probe probe;
    int r;

    if (options->level == SS_CHECK_QUICK) {
        r = ss_format_probe_fd(fd, check->size, &probe);
        if (r == 0 && probe.completion == SS_COMPLETION_PARTIAL)
            ss_judge(&check->why, SS_FORMAT_INCOMPLETE, "%s", probe.why);
        return r;
    }
    r = look_inside(fd, options, check);
    if (r == 0)
        ss_judge_inside(options, check);
    return r;
}

/* That it is what was saved is one thing; only the inside tells whether that was any good. */
static int check_deeper(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    int r = look_inside(fd, options, check);

    if (r == 0 && ss_finding_text(check->inside.finding)->class == SS_CLASS_DAMAGED)
        ss_judge(&check->why, check->inside.finding, "%s", check->inside.detail);
    return r;
}

static int check_reference(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    const struct ss_digest_run run = begin_digest(options, check);

    int r = ss_compare(fd, check->size, options->reference, &run, &check->why);
    end_digest(options, check);
    check->content = r == 0 && check->why.finding == SS_INTACT;
    return r;
}

static int make_digests(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    int r = 0;

    if (check->content && check->has_seal && !options->reference) {
        check->verity = check->seal.verity; /* it has just been found to be that */
    } else {
        const struct ss_digest_run run = begin_digest(options, check);
        r = ss_digest_verity(fd, check->size, &run, &check->verity);
        end_digest(options, check);
    }
    if (r == 0)
        r = ss_compare_sha256(fd, check->size, &options->run, &check->sha256);
    check->has_digests = r == 0;
    return r;
}

static int check_open_file(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    bool can_compare = true;
    int r = 0;

    check->has_seal = ss_image_seal(fd, &check->seal, &check->why);
    if (options->reference)
        r = check_reference(fd, options, check);
    else if (check->has_seal)
        r = check_sealed(fd, options, check);
    else if (check->why.finding == SS_UNSEALED && !options->seal_only)
        r = check_unsealed(fd, options, check);
    else
        can_compare = false;
    if (r == 0 && can_compare && check->why.finding == SS_INTACT && options->level == SS_CHECK_DEEP)
        r = check_deeper(fd, options, check);
    enum ss_class class = ss_finding_text(check->why.finding)->class;
    if (r == 0 && options->digests && (class == SS_CLASS_INTACT || class == SS_CLASS_UNKNOWN))
        r = make_digests(fd, options, check);
    return r;
}

static bool same_times(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* What was found in a file that changes means nothing. */
static void check_steady_file(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    struct stat before, after;

    int r = fstat(fd, &before) < 0 ? -errno : 0;
    if (r == 0) {
        check->size = (uint64_t)before.st_size;
        r = check_open_file(fd, options, check);
    }
    if ((r == 0 || r == -ENODATA) && fstat(fd, &after) < 0)
        r = -errno;
    if ((r == 0 || r == -ENODATA) && !same_times(&before, &after)) {
        ss_judge(&check->why, SS_CHANGED_WHILE_READING, "%s", "");
        check->content = check->has_digests = false;
    } else if (r == -ECANCELED) {
        ss_judge(&check->why, SS_NOT_REACHED, "stopped in the middle of it");
    } else if (r < 0) {
        ss_judge_errno(&check->why, r);
    }
}

/* For what is no file: a directory may be an image. If it is none, the answer that is there stays. */
static void check_directory(int at, const char *name, int flags, const struct ss_check_options *options,
                            struct ss_check *check)
{
    SS_AUTO_CLOSE int dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | flags);

    if (dir < 0 && errno != EMFILE && errno != ENFILE && errno != ENOMEM)
        return;
    int r = dir < 0 ? -errno : 0;
    if (r == 0 && !ss_inside_is_directory_image(dir))
        return;
    if (r == 0 && (options->reference || options->digests)) {
        ss_judge(&check->why, SS_NOT_A_FILE, "a directory has no digest: name the files in it");
        return;
    }
    if (r == 0)
        r = ss_directory_check(dir, options, check);
    if (r == -ECANCELED)
        ss_judge(&check->why, SS_NOT_REACHED, "stopped in the middle of it");
    else if (r < 0)
        ss_judge_errno(&check->why, r);
}

void ss_check_at(const struct ss_place *place, const char *name, const char *path,
                 const struct ss_check_options *options, struct ss_check *check)
{
    SS_AUTO_CLOSE int fd = -1;

    memset(check, 0, sizeof *check);
    check->draft = ss_draftfile_named(name);
    if (check->draft)
        check_draft(place, name, check);
    else if (ss_image_open_at(place, name, path, &fd, &check->size, &check->why))
        check_steady_file(fd, options, check);
    else if (check->why.finding == SS_NOT_A_FILE)
        check_directory(place->dir, name, O_NOFOLLOW, options, check);
}

static void check_draft_path(const char *path, struct ss_check *check)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    char name[NAME_MAX + 1];

    int r = ss_place_of(path, &place, name);
    if (r < 0)
        ss_judge_errno(&check->why, r);
    else
        check_draft(&place, name, check);
}

void ss_check_path(const char *path, const struct ss_check_options *options, struct ss_check *check)
{
    SS_AUTO_CLOSE int fd = -1;

    memset(check, 0, sizeof *check);
    check->draft = ss_draftfile_named(path);
    if (check->draft)
        check_draft_path(path, check);
    else if (ss_image_open(path, &fd, &check->size, &check->why))
        check_steady_file(fd, options, check);
    else if (check->why.finding == SS_NOT_A_FILE)
        check_directory(AT_FDCWD, path, 0, options, check);
}

void ss_check_fd(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    memset(check, 0, sizeof *check);
    if (ss_image_is_file(fd, &check->size, &check->why))
        check_steady_file(fd, options, check);
}
