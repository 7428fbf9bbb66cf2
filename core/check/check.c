#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/scan.h"
#include "core/util.h"
#include "draftfile.h"
#include "image.h"
#include "place.h"

static void check_draft(const char *path, struct ss_check *check)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    char name[NAME_MAX + 1];
    struct ss_scan_entry entry = {0};

    int r = ss_place_of(path, &place, name);
    if (r == 0)
        r = place.hidden;
    if (r == 0)
        r = ss_scan_file(place.dir, name, &entry);
    if (r == -EINVAL) {
        ss_judge(&check->why, SS_NOT_A_FILE, "%s", "");
    } else if (r < 0) {
        ss_judge_errno(&check->why, r);
    } else {
        check->size = entry.size;
        ss_judge(&check->why, entry.finding, "%s", entry.detail);
    }
}

/* Returns 0 with the seal's answer, or -errno. */
static int check_sealed(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    enum ss_finding finding;

    int r = options->level == SS_CHECK_QUICK ? ss_seal_check_header(fd, &check->seal, &finding)
                                             : ss_seal_check_content(fd, &check->seal, &options->run, &finding);
    if (r < 0)
        return r;
    ss_judge(&check->why, finding, "%s", "");
    if (finding == SS_TRUNCATED || finding == SS_GROWN)
        ss_judge(&check->why, finding, "%" PRIu64 " bytes, sealed with %" PRIu64, check->size, check->seal.size);
    check->content = finding == SS_INTACT && options->level != SS_CHECK_QUICK && check->seal.has_verity;
    return 0;
}

static bool same_times(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Returns 0, or -errno. *changed: while it was looked at, so that what was found means nothing. */
static int look_inside(int fd, const struct ss_check_options *options, struct ss_check *check, bool *changed)
{
    const struct ss_inside_options inside = {
        .deep = options->level == SS_CHECK_DEEP,
        .stop = options->run.stop,
        .progress = options->run.progress,
        .context = options->run.context,
    };
    struct stat before, after;

    if (fstat(fd, &before) < 0)
        return -errno;
    int r = ss_inside_check(fd, (uint64_t)before.st_size, &inside, &check->inside);
    if (r < 0)
        return r;
    if (fstat(fd, &after) < 0)
        return -errno;
    check->looked_inside = true;
    *changed = !same_times(&before, &after);
    return 0;
}

/* What the inside says of a file that has no seal to go by. */
static void judge_unsealed(const struct ss_check_options *options, struct ss_check *check)
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
    bool changed = false;
    int r;

    if (options->level == SS_CHECK_QUICK) {
        r = ss_format_probe_fd(fd, check->size, &probe);
        if (r == 0 && probe.completion == SS_COMPLETION_PARTIAL)
            ss_judge(&check->why, SS_FORMAT_INCOMPLETE, "%s", probe.why);
        return r;
    }
    r = look_inside(fd, options, check, &changed);
    if (r < 0)
        return r;
    if (changed)
        ss_judge(&check->why, SS_CHANGED_WHILE_READING, "%s", "");
    else
        judge_unsealed(options, check);
    return 0;
}

/* The seal tells that it is what was saved; only the inside tells whether that was any good. */
static int check_deeper(int fd, const struct ss_check_options *options, struct ss_check *check)
{
    bool changed = false;

    int r = look_inside(fd, options, check, &changed);
    if (r < 0)
        return r;
    if (changed)
        ss_judge(&check->why, SS_CHANGED_WHILE_READING, "%s", "");
    else if (ss_finding_text(check->inside.finding)->class == SS_CLASS_DAMAGED)
        ss_judge(&check->why, check->inside.finding, "%s", check->inside.detail);
    return 0;
}

static void check_image(const char *path, const struct ss_check_options *options, struct ss_check *check)
{
    SS_AUTO_CLOSE int fd = -1;
    int r;

    if (!ss_image_open(path, &fd, &check->size, &check->why))
        return;
    check->has_seal = ss_image_seal(fd, &check->seal, &check->why);
    if (check->has_seal) {
        r = check_sealed(fd, options, check);
        if (r == 0 && check->why.finding == SS_INTACT && options->level == SS_CHECK_DEEP)
            r = check_deeper(fd, options, check);
    } else {
        r = check->why.finding == SS_UNSEALED ? check_unsealed(fd, options, check) : 0;
    }
    if (r < 0)
        ss_judge_errno(&check->why, r);
}

void ss_check_path(const char *path, const struct ss_check_options *options, struct ss_check *check)
{
    memset(check, 0, sizeof *check);
    check->draft = ss_draftfile_named(path);
    if (check->draft)
        check_draft(path, check);
    else
        check_image(path, options, check);
}
