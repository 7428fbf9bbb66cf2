#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What changes when a file in the directory is written, comes or goes. */
struct stamp {
    uint64_t files, size;
    struct timespec newest;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void add(struct stamp *stamp, const struct stat *st)
{
    stamp->files++;
    if (S_ISREG(st->st_mode))
        stamp->size += (uint64_t)st->st_size;
    if (is_later(&st->st_ctim, &stamp->newest))
        stamp->newest = st->st_ctim;
    if (is_later(&st->st_mtim, &stamp->newest))
        stamp->newest = st->st_mtim;
}

/* Returns 0 or -errno. */
static int read_stamp(int dir, struct stamp *stamp)
{
    struct stat st;
    int r = 0;

    memset(stamp, 0, sizeof *stamp);
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        r = -errno;
        close(fd);
        return r;
    }
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            add(stamp, &st);
        else if (errno != ENOENT) /* gone meanwhile: the number tells */
            r = -errno;
    }
    closedir(stream);
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
