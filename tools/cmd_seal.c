/* saveseal seal: gives a seal to an image that has none, after a deep check. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core/check/check.h"
#include "core/util.h"
#include "facts.h"
#include "imagefile.h"
#include "json_line.h"
#include "outcome.h"
#include "progress.h"
#include "report.h"
#include "sealing.h"
#include "text.h"
#include "watch.h"

static const char help[] = "Gives a seal to an image that was there before, or came by another way: all of\n"
                           "it is checked first, as by saveseal verify --deep. An image that is damaged\n"
                           "inside is never sealed. One that is sealed already, and intact, stays as it\n"
                           "is. Symbolic links are followed.\n"
                           "\n"
                           "  --force     seal it also when nothing proves that its end is there, or when\n"
                           "              it was changed since it was sealed: you say that it is good\n"
                           "  --json      one JSON object a line for each PATH\n"
                           "  -h, --help  this text\n"
                           "\n"
                           "Exit status: 0 all sealed; 1 damaged; 2 no such file, no image, not allowed,\n"
                           "no extended attributes; 3 being written, or I/O trouble: try again; 4 not\n"
                           "proven: --force seals it. Of several the worst, in the order 1 2 3 4 0.\n";

/* What the seal tells of its maker. */
#define PROVEN "saveseal seal"
#define FORCED "saveseal seal --force"

enum decision { KEEP, SEAL, REFUSE };

/* ---- deciding ---- */

static struct ss_digest_run quiet_run(struct progress *progress)
{
    return (struct ss_digest_run){.stop = watch_stop(), .progress = progress_step, .context = progress};
}

static void check_deep(const char *path, int fd, struct ss_check *check)
{
    struct progress progress;
    const struct ss_check_options options = {.level = SS_CHECK_DEEP, .run = quiet_run(&progress)};

    progress_start(&progress, path);
    ss_check_fd(fd, &options, check);
    progress_end(&progress);
}

/* For an image whose seal does not fit: then nobody has looked inside yet. */
static void look_inside(const char *path, int fd, struct ss_check *check)
{
    struct progress progress;
    const struct ss_inside_options options = {
        .deep = true, .stop = watch_stop(), .progress = progress_step, .context = &progress};

    progress_start(&progress, path);
    int r = ss_inside_check(fd, check->size, &options, &check->inside);
    progress_end(&progress);
    check->looked_inside = r == 0;
    if (r < 0)
        ss_judge_errno(&check->why, r);
    else
        ss_judge(&check->why, check->inside.finding, "%s", check->inside.detail);
}

static bool is_of_seal(enum ss_finding finding)
{
    return finding == SS_HEADER_MISMATCH || finding == SS_CONTENT_MISMATCH || finding == SS_TRUNCATED ||
           finding == SS_GROWN || finding == SS_SEAL_INVALID;
}

static void add_hint(struct ss_judgement *why, const char *hint)
{
    size_t len = strlen(why->detail);

    snprintf(why->detail + len, sizeof why->detail - len, "%s%s", len ? "; " : "", hint);
}

static enum decision decide_sealed(struct ss_check *check, bool force)
{
    if (check->why.finding != SS_INTACT)
        return REFUSE;
    return force && !check->seal.has_verity ? SEAL : KEEP; /* one of the header alone can be made a whole one */
}

/* Leaves in check->why what the image is, or why it is refused. */
static enum decision decide(const char *path, int fd, bool force, struct ss_check *check)
{
    if (is_of_seal(check->why.finding)) {
        if (!force) {
            add_hint(&check->why, "--force seals it anew, if it was changed on purpose");
            return REFUSE;
        }
        look_inside(path, fd, check);
    } else if (check->has_seal) {
        return decide_sealed(check, force);
    }
    if (check->why.finding == SS_COMPLETE)
        return SEAL;
    if (!check->looked_inside || ss_finding_text(check->why.finding)->class != SS_CLASS_UNKNOWN)
        return REFUSE; /* a seal of a newer version belongs here, too */
    if (!force)
        add_hint(&check->why, "--force seals it, if you know that it is good");
    return force ? SEAL : REFUSE;
}

/* ---- telling ---- */

/* What was done: for programs a stable word, for people its own. */
struct deed {
    const char *action, *words;
};

static const struct deed *deed_of(enum decision decision, const struct ss_check *check, bool had_seal)
{
    static const struct deed sealed = {"sealed", "sealed"}, again = {"resealed", "sealed anew"},
                             whole = {"kept", "already sealed, intact"},
                             header = {"kept", "already sealed, header intact"};

    if (decision == SEAL)
        return had_seal ? &again : &sealed;
    return check->content ? &whole : &header;
}

static void tell_json(const char *path, const struct deed *deed, const struct ss_check *check)
{
    json_t *object = outcome_done(path, "image", deed->action);

    json_line_text(object, "found", ss_finding_text(check->why.finding)->id);
    json_line_number(object, "size", check->size);
    if (check->looked_inside)
        json_line_put(object, "inside", facts_json(&check->inside));
    json_line_print(object);
}

static void tell(const char *path, const struct deed *deed, const struct ss_check *check)
{
    const char *proof = check->why.finding == SS_COMPLETE ? "complete by its own marks: "
                        : check->why.finding == SS_INTACT ? ""
                                                          : "as you say that it is good; nothing in it proves that: ";
    SS_AUTO_FREE char *name = text_quote(path);
    char size[TEXT_SIZE_MAX];

    text_size(check->size, size);
    printf("%s: %s (%s%s, %s)\n", name, deed->words, proof, check->looked_inside ? check->inside.title : "image", size);
}

/* ---- doing ---- */

static bool begin(const char *path, struct imagefile *image, struct watch *watch, struct ss_judgement *why)
{
    return imagefile_open(path, true, image, why) && watch_begin(watch, image->fd, why);
}

static enum ss_class seal(const char *path, bool force, bool json)
{
    IMAGEFILE_AUTO_CLOSE struct imagefile image = IMAGEFILE_NONE;
    WATCH_AUTO_END struct watch watch = WATCH_NONE;
    struct ss_check check = {0};

    if (!begin(path, &image, &watch, &check.why))
        return outcome_refused(path, "image", &check.why, json);
    check_deep(path, image.fd, &check);
    bool had_seal = check.has_seal || check.why.finding == SS_SEAL_INVALID;
    enum decision decision = decide(path, image.fd, force, &check);
    if (!watch_is_quiet(&watch, &check.why))
        decision = REFUSE;
    struct ss_judgement why = check.why;
    if (decision == SEAL &&
        !sealing_make(image.fd, path, check.why.finding == SS_COMPLETE ? PROVEN : FORCED, &watch, &why))
        decision = REFUSE;
    if (decision != REFUSE && !imagefile_in_place(&image, &why))
        decision = REFUSE;
    if (decision == REFUSE)
        return outcome_refused(path, "image", &why, json);
    const struct deed *deed = deed_of(decision, &check, had_seal);
    if (json)
        tell_json(path, deed, &check);
    else
        tell(path, deed, &check);
    return SS_CLASS_INTACT;
}

static enum ss_class run(int argc, char **argv)
{
    return command_each(&command_seal, argc, argv, seal);
}

const struct command command_seal = {"seal", "[--force] [--json] PATH...", "seal images that have no seal", help, run};
