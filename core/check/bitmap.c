#include "bitmap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/inside/qcow2.h"
#include "core/util.h"
#include "image.h"

#define CHAIN_MAX 200 /* as many as libvirt follows */

/* The images of a chain that have been looked at. */
struct chain {
    struct {
        dev_t dev;
        ino_t ino;
    } seen[CHAIN_MAX];
    size_t count;
    bool ended; /* one of them has no bitmap of the name */
};

static void unsupported(const struct ss_bitmap_question *asked, const char *format, struct ss_judgement *why)
{
    ss_judge(why, SS_BITMAP_UNSUPPORTED,
             "unsupported configuration: checkpoint for disk %s unsupported for storage type %s", asked->disk, format);
}

static void missing_or_broken(const struct ss_bitmap_question *asked, struct ss_judgement *why, const char *reason,
                              const char *where)
{
    ss_judge(why, SS_BITMAP_MISSING, "checkpoint inconsistent: missing or broken bitmap '%s' for disk '%s': %s%s%s",
             asked->name, asked->disk, reason, *where ? ", in the backing file " : "", where);
}

/* For what could not be read. */
static void unread(int error, struct ss_judgement *why)
{
    if (error == -ECANCELED)
        ss_judge(why, SS_NOT_REACHED, "stopped in the middle of it");
    else
        ss_judge_errno(why, error);
}

/* As ss_qcow2_open(), which reads some 64 MiB at most and asks nobody meanwhile. */
static int open_image(const struct ss_bitmap_question *asked, int fd, uint64_t size, struct ss_qcow2 *image)
{
    int r = asked->step ? asked->step(asked->context) : 0;

    if (r == 0)
        r = ss_qcow2_open(fd, size, image);
    if (r == 0) {
        image->step = asked->step;
        image->context = asked->context;
    }
    return r;
}

/* Only a regular file is opened: the image says the name, and the open of a device can do things. */
static int open_regular(const char *path, struct stat *st)
{
    char link[32];

    SS_AUTO_CLOSE int place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0 || fstat(place, st) < 0)
        return -errno;
    if (!S_ISREG(st->st_mode))
        return -EREMOTE;
    snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Reads the name of the backing file, as a path. Returns 1; 0 when the chain ends; -EREMOTE for what is no local file;
 * or -errno. */
static int next_path(struct ss_qcow2 *image, const char *above, char path[PATH_MAX])
{
    char name[SS_QCOW2_BACKING_NAME_MAX + 1];
    const char *slash = strrchr(above, '/');

    int r = ss_qcow2_backing(image, name);
    if (r < 0 || !name[0] || image->backing_is_foreign) /* no other format has bitmaps, nor what is below it */
        return r;
    const char *file = strncmp(name, "file:", 5) == 0 ? name + 5 : name;
    size_t scheme = strcspn(file, ":/");
    if (file[scheme] == ':')
        return -EREMOTE; /* json:, nbd:, https: */
    int len = file[0] == '/' || !slash ? 0 : (int)(slash + 1 - above);
    int n = snprintf(path, PATH_MAX, "%.*s%s", len, above, file);
    return n > 0 && n < PATH_MAX ? 1 : -ENAMETOOLONG;
}

static bool add_seen(struct chain *chain, const struct stat *st)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->seen[i].dev == st->st_dev && chain->seen[i].ino == st->st_ino)
            return false;
    if (chain->count == CHAIN_MAX)
        return false;
    chain->seen[chain->count].dev = st->st_dev;
    chain->seen[chain->count++].ino = st->st_ino;
    return true;
}

/* A backing file that can not be looked at: what is not known is not good. */
static void not_readable(const struct ss_bitmap_question *asked, struct ss_judgement *why, int error, const char *path)
{
    if (error == -ENOENT)
        missing_or_broken(asked, why, "there is no such file", path);
    else if (error == -EREMOTE)
        ss_judge(why, SS_NOT_LOCAL, "a backing file of disk '%s' is no local file, so the chain could not be followed",
                 asked->disk);
    else if (error == -ECANCELED)
        unread(error, why);
    else {
        struct ss_judgement plain;
        ss_judge_errno(&plain, error);
        ss_judge(why, plain.finding, "backing file %s: %s", path, plain.detail);
        why->error = error;
    }
}

/* One image of the chain below the first. Returns whether to go on, with the next one's path in below. */
static bool judge_link(char below[PATH_MAX], struct chain *chain, const struct ss_bitmap_question *asked,
                       struct ss_judgement *why)
{
    char path[PATH_MAX];
    struct ss_qcow2 image;
    struct stat st = {0};

    memcpy(path, below, sizeof path);
    SS_AUTO_CLOSE int fd = open_regular(path, &st);
    if (fd >= 0 && !add_seen(chain, &st)) {
        missing_or_broken(asked, why, "the chain does not end", path);
        return false;
    }
    int r = fd < 0 ? fd : open_image(asked, fd, (uint64_t)st.st_size, &image);
    if (fd >= 0 && r == -EINVAL)
        return false; /* raw: it has none, and nothing below it */
    if (r == 0)
        r = ss_qcow2_check_bitmap(&image, asked->name);
    if (fd >= 0 && r == -EBADMSG)
        missing_or_broken(asked, why, image.why, path);
    else if (r == 0 && chain->ended)
        missing_or_broken(asked, why, "an image above it has none", path);
    else if (r < 0 && (fd < 0 || r != -ENOENT))
        not_readable(asked, why, r, path);
    bool goes_on = fd >= 0 && (r == -ENOENT || (r == 0 && !chain->ended));
    chain->ended |= r == -ENOENT;
    if (!goes_on)
        return false;
    r = next_path(&image, path, below);
    if (r < 0)
        not_readable(asked, why, r, path);
    return r > 0;
}

/* Down the chain, what has no bitmap may have none that has one below it: what was written in between would be missed.
 */
static void judge_chain(const char *path, const struct stat *st, struct ss_qcow2 *image,
                        const struct ss_bitmap_question *asked, struct ss_judgement *why)
{
    char below[PATH_MAX] = "";
    struct chain chain = {.count = 0};

    add_seen(&chain, st);
    int r = next_path(image, path, below);
    if (r < 0)
        not_readable(asked, why, r, path);
    while (r > 0 && judge_link(below, &chain, asked, why))
        ;
}

static void busy(struct ss_judgement *why)
{
    ss_judge(why, SS_BUSY, "a program has the disk open, and perhaps its bitmaps in memory");
}

static void judge_bitmap(const char *path, int fd, const struct ss_bitmap_question *asked, struct ss_judgement *why)
{
    struct ss_qcow2 image;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        ss_judge_errno(why, -errno);
        return;
    }
    int r = open_image(asked, fd, (uint64_t)st.st_size, &image);
    if (r == -EINVAL && !asked->format) {
        unsupported(asked, "raw", why);
        return;
    }
    if (ss_qcow2_is_in_use(fd)) {
        busy(why);
        return;
    }
    if (r == 0)
        r = ss_qcow2_check_bitmap(&image, asked->name);
    if (r == 0) {
        ss_judge(why, SS_INTACT, "the bitmap is good");
        judge_chain(path, &st, &image, asked, why);
    } else if (r == -EINVAL || r == -ENOENT || r == -EBADMSG) {
        missing_or_broken(asked, why,
                          r == -EINVAL   ? "it is no qcow2 image"
                          : r == -ENOENT ? "there is none of that name"
                                         : image.why,
                          "");
    } else {
        unread(r, why);
    }
}

/* An answer that asks for a full backup must not come of a machine that began or ended while we looked. */
static void judge_twice(const char *path, int fd, const struct ss_bitmap_question *asked, struct ss_judgement *why)
{
    struct stat before, after;

    bool known = fstat(fd, &before) == 0;
    judge_bitmap(path, fd, asked, why);
    if (why->finding != SS_BITMAP_MISSING)
        return;
    if (ss_qcow2_is_in_use(fd))
        busy(why);
    else if (!known || fstat(fd, &after) < 0 || before.st_size != after.st_size ||
             before.st_mtim.tv_sec != after.st_mtim.tv_sec || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec)
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
}

void ss_bitmap_check(const char *path, const struct ss_bitmap_question *asked, uint64_t *size, struct ss_judgement *why)
{
    SS_AUTO_CLOSE int fd = -1;

    if (asked->format && strcmp(asked->format, "qcow2") != 0)
        unsupported(asked, asked->format, why);
    else if (ss_image_open(path, &fd, size, why))
        judge_twice(path, fd, asked, why);
}
