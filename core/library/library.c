/* Options and checks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check/bitmap.h"
#include "core/check/draftfile.h"
#include "core/check/place.h"
#include "core/util.h"
#include "private.h"

_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "checks can be cancelled from a signal handler");

static void restore_errno(const int *saved)
{
    errno = *saved;
}

/* What the caller has in errno stays there. Declared first, so that it runs after the other clean-ups. */
#define KEEP_ERRNO __attribute__((cleanup(restore_errno), unused)) const int saved_errno = errno

const char *saveseal_version(void)
{
    return SAVESEAL_VERSION;
}

/* ---- options ---- */

int saveseal_options_new(saveseal_options **options)
{
    KEEP_ERRNO;

    if (!options)
        return -EINVAL;
    saveseal_options *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->level = SS_CHECK_WHOLE;
    *options = made;
    return 0;
}

void saveseal_options_free(saveseal_options *options)
{
    KEEP_ERRNO;

    free(options);
}

int saveseal_options_set_level(saveseal_options *options, enum saveseal_level level)
{
    static const enum ss_check_level levels[] = {
        [SAVESEAL_LEVEL_QUICK] = SS_CHECK_QUICK,
        [SAVESEAL_LEVEL_WHOLE] = SS_CHECK_WHOLE,
        [SAVESEAL_LEVEL_DEEP] = SS_CHECK_DEEP,
    };

    if (!options || (size_t)level >= SS_ARRAY_SIZE(levels))
        return -EINVAL;
    options->level = levels[level];
    return 0;
}

int saveseal_options_set_threads(saveseal_options *options, unsigned threads)
{
    if (!options)
        return -EINVAL;
    options->threads = threads;
    return 0;
}

int saveseal_options_set_progress(saveseal_options *options, saveseal_progress *progress, void *context)
{
    if (!options)
        return -EINVAL;
    options->progress = progress;
    options->context = context;
    return 0;
}

void saveseal_options_cancel(saveseal_options *options)
{
    if (options)
        atomic_store(&options->cancelled, true);
}

/* ---- checks ---- */

/* One check that runs. The callback's no is noted here, for the judgement does not tell it from a read that failed. */
struct run {
    const saveseal_options *options;
    _Atomic bool refused;
    uint64_t reported; /* bytes, of this stage; there is one call at a time */
};

#define PROGRESS_STEP (UINT64_C(64) << 20)

static int report(void *context, uint64_t done, uint64_t size)
{
    struct run *run = context;

    /* A look inside tells more often than anybody wants to hear. */
    if (done < run->reported)
        run->reported = 0; /* the next stage */
    if (done - run->reported < PROGRESS_STEP)
        return 0;
    run->reported = done;
    if (run->options->progress(run->options->context, done, size) == 0)
        return 0;
    atomic_store(&run->refused, true);
    return -ECANCELED;
}

/* The path of a draft that is open: it is answered for by its name, as any other. False when it is none. */
static bool draft_path(int fd, char path[PATH_MAX])
{
    struct stat open_file, named;
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len < 0)
        return false;
    path[len] = '\0';
    return ss_draftfile_named(path) && fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static void check(const char *path, int fd, struct run *run, struct ss_check *found)
{
    const saveseal_options *options = run->options;
    const struct ss_check_options how = {
        .level = options->level,
        .run =
            {
                .threads = options->threads,
                .stop = &options->cancelled,
                .progress = options->progress ? report : NULL,
                .context = run,
            },
    };

    char draft[PATH_MAX];

    if (path || draft_path(fd, draft))
        ss_check_path(path ? path : draft, &how, found);
    else
        ss_check_fd(fd, &how, found);
}

/* Gives the result to the caller, or says why there is none. */
static int hand_over(saveseal_result *made, saveseal_result **result)
{
    int r = made->check.why.error == -ENOMEM ? -ENOMEM : ss_library_complete(made);

    if (r == 0)
        *result = made;
    else
        saveseal_result_free(made);
    return r;
}

static int check_file(const char *path, int fd, const saveseal_options *options, saveseal_result **result)
{
    static const saveseal_options defaults = {.level = SS_CHECK_WHOLE};
    struct run run = {.options = options ? options : &defaults};

    saveseal_result *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    if (!atomic_load(&run.options->cancelled))
        check(path, fd, &run, &made->check);
    if (atomic_load(&run.options->cancelled) || atomic_load(&run.refused)) {
        saveseal_result_free(made);
        return -ECANCELED;
    }
    return hand_over(made, result);
}

int saveseal_check_path(const char *path, const saveseal_options *options, saveseal_result **result)
{
    KEEP_ERRNO;

    return path && result ? check_file(path, -1, options, result) : -EINVAL;
}

int saveseal_check_fd(int fd, const saveseal_options *options, saveseal_result **result)
{
    KEEP_ERRNO;

    if (!result)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return check_file(NULL, fd, options, result);
}

int saveseal_check_bitmap(const char *path, const char *bitmap, const char *disk, saveseal_result **result)
{
    KEEP_ERRNO;

    if (!path || !bitmap || !*bitmap || !result)
        return -EINVAL;
    saveseal_result *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    const struct ss_bitmap_question asked = {.name = bitmap, .disk = disk ? disk : ss_place_base(path)};
    ss_bitmap_check(path, &asked, &made->check.size, &made->check.why);
    return hand_over(made, result);
}
