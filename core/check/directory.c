#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/entries.h"

/* What changes when a file in the directory is written, comes or goes. */
struct stamp {
    uint64_t files, size;
    struct timespec newest;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

struct walk {
    int dir;
    struct stamp stamp;
};

static int add(void *context, const struct dirent *entry)
{
    struct walk *walk = context;
    struct stamp *stamp = &walk->stamp;
    struct stat st;

    if (strcmp(entry->d_name, "..") == 0)
        return 0;
    if (fstatat(walk->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno; /* gone meanwhile: the number tells */
    stamp->files++;
    if (S_ISREG(st.st_mode))
        stamp->size += (uint64_t)st.st_size;
    if (is_later(&st.st_ctim, &stamp->newest))
        stamp->newest = st.st_ctim;
    if (is_later(&st.st_mtim, &stamp->newest))
        stamp->newest = st.st_mtim;
    return 0;
}

/* Returns 0 or -errno. */
static int read_stamp(int dir, struct stamp *stamp)
{
    struct walk walk = {.dir = dir};

    int r = ss_entries_each(dir, add, &walk);
    *stamp = walk.stamp;
    return r;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->files == b->files && a->size == b->size && a->newest.tv_sec == b->newest.tv_sec &&
           a->newest.tv_nsec == b->newest.tv_nsec;
}

int ss_directory_check(int dir, const struct ss_check_options *options, struct ss_check *check)
{
    const struct ss_inside_options inside = {
        .deep = options->level == SS_CHECK_DEEP,
        .stop = options->run.stop,
        .progress = options->run.progress,
        .context = options->run.context,
        .memory = options->memory,
    };
    struct stamp before = {0}, after = {0};

    int r = read_stamp(dir, &before);
    if (r == 0)
        r = ss_inside_check_directory(dir, &inside, &check->inside);
    if (r == 0)
        r = read_stamp(dir, &after);
    if (r < 0)
        return r;
    check->size = before.size;
    check->looked_inside = true;
    if (!same(&before, &after))
        ss_judge(&check->why, SS_CHANGED_WHILE_READING, "%s", "");
    else
        ss_judge_inside(options, check);
    return 0;
}
