#include "bitmap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/qcow2.h"
#include "core/util.h"
#include "image.h"

#define CHAIN_MAX 200 /* as many as libvirt follows */

struct question {
    const char *name, *disk;
};

static void unsupported(const struct question *asked, struct judgement *why)
{
    judge(why, SS_BITMAP_UNSUPPORTED,
          "unsupported configuration: checkpoint for disk %s unsupported for storage type raw", asked->disk);
}

static void missing_or_broken(const struct question *asked, struct judgement *why, const char *reason,
                              const char *where)
{
    judge(why, SS_BITMAP_MISSING, "checkpoint inconsistent: missing or broken bitmap '%s' for disk '%s': %s%s%s",
          asked->name, asked->disk, reason, *where ? ", in the backing file " : "", where);
}

/* The path of a backing file, from that of the image above it. False when it is no file that could be looked at. */
static bool backing_path(struct ss_qcow2 *image, const char *above, char path[PATH_MAX])
{
    char name[SS_QCOW2_BACKING_NAME_MAX + 1];
    const char *slash = strrchr(above, '/');

    if (ss_qcow2_backing(image, name) < 0 || !name[0])
        return false;
    const char *file = strncmp(name, "file:", 5) == 0 ? name + 5 : name;
    size_t scheme = strcspn(file, ":/");
    if (file[scheme] == ':')
        return false; /* json:, nbd:, https: */
    int len = file[0] == '/' || !slash ? 0 : (int)(slash + 1 - above);
    int n = snprintf(path, PATH_MAX, "%.*s%s", len, above, file);
    return n > 0 && n < PATH_MAX;
}

/* One image of the chain. Returns whether to go on, with the next one's path in below. */
static bool judge_link(char below[PATH_MAX], bool *ended, const struct question *asked, struct judgement *why)
{
    char path[PATH_MAX];
    struct ss_qcow2 image;
    struct stat st;

    memcpy(path, below, sizeof path);
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    int r = ss_qcow2_open(fd, (uint64_t)st.st_size, &image);
    if (r == -EINVAL)
        return false; /* raw: it has none, and nothing below it */
    if (r == 0)
        r = ss_qcow2_check_bitmap(&image, asked->name);
    if (r == -EBADMSG)
        missing_or_broken(asked, why, image.why, path);
    else if (r == 0 && *ended)
        missing_or_broken(asked, why, "an image above it has none", path);
    bool goes_on = r == -ENOENT || (r == 0 && !*ended);
    *ended |= r == -ENOENT;
    return goes_on && backing_path(&image, path, below);
}

/* Down the chain, what has no bitmap may have none that has one below it: what was written in between would be missed.
 * An end of the chain that can not be looked at is its end. */
static void judge_chain(const char *path, struct ss_qcow2 *image, const struct question *asked, struct judgement *why)
{
    char below[PATH_MAX];
    bool ended = false;

    bool more = backing_path(image, path, below);
    for (int i = 0; more && i < CHAIN_MAX; i++)
        more = judge_link(below, &ended, asked, why);
}

static void judge_bitmap(const char *path, int fd, uint64_t size, const struct question *asked, struct judgement *why)
{
    struct ss_qcow2 image;

    int r = ss_qcow2_open(fd, size, &image);
    if (r == -EINVAL) {
        unsupported(asked, why);
        return;
    }
    if (r == 0 && ss_qcow2_is_in_use(fd)) {
        judge(why, SS_BUSY, "a virtual machine has the disk open, and its bitmaps in memory");
        return;
    }
    if (r == 0)
        r = ss_qcow2_check_bitmap(&image, asked->name);
    if (r == -ENOENT || r == -EBADMSG) {
        missing_or_broken(asked, why, r == -ENOENT ? "there is none of that name" : image.why, "");
    } else if (r < 0) {
        judge_errno(why, r);
    } else {
        judge(why, SS_INTACT, "%s", "");
        judge_chain(path, &image, asked, why);
    }
}

void bitmap_check(const char *path, const char *name, const char *disk, uint64_t *size, struct judgement *why)
{
    const struct question asked = {.name = name, .disk = disk};
    SS_AUTO_CLOSE int fd = -1;

    if (image_open(path, &fd, size, why))
        judge_bitmap(path, fd, *size, &asked, why);
}

void bitmap_check_named(const char *path, const char *asked, uint64_t *size, struct judgement *why)
{
    SS_AUTO_FREE char *name = report_must(strdup(asked));
    const char *slash = strrchr(path, '/'), *disk = slash ? slash + 1 : path;

    char *equals = strrchr(name, '=');
    if (equals) {
        *equals = '\0';
        disk = equals + 1;
    }
    bitmap_check(path, name, disk, size, why);
}
