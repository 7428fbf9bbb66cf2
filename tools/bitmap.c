#include "bitmap.h"

#include <errno.h>
#include <string.h>

#include "core/qcow2.h"
#include "core/util.h"
#include "image.h"

static void judge_bitmap(int fd, uint64_t size, const char *name, const char *disk, struct judgement *why)
{
    struct ss_qcow2 image;

    int r = ss_qcow2_open(fd, size, &image);
    if (r == -EINVAL) {
        judge(why, SS_BITMAP_UNSUPPORTED,
              "unsupported configuration: checkpoint for disk %s unsupported for storage type raw", disk);
        return;
    }
    if (r == 0 && ss_qcow2_is_in_use(fd)) {
        judge(why, SS_BUSY, "a virtual machine has the disk open, and its bitmaps in memory");
        return;
    }
    if (r == 0)
        r = ss_qcow2_check_bitmap(&image, name);
    if (r == 0)
        judge(why, SS_INTACT, "%s", "");
    else if (r == -ENOENT || r == -EBADMSG)
        judge(why, SS_BITMAP_MISSING, "checkpoint inconsistent: missing or broken bitmap '%s' for disk '%s': %s", name,
              disk, r == -ENOENT ? "there is none of that name" : image.why);
    else
        judge_errno(why, r);
}

void bitmap_check(const char *path, const char *asked, uint64_t *size, struct judgement *why)
{
    SS_AUTO_FREE char *name = report_must(strdup(asked));
    SS_AUTO_CLOSE int fd = -1;
    const char *slash = strrchr(path, '/'), *disk = slash ? slash + 1 : path;

    char *equals = strrchr(name, '=');
    if (equals) {
        *equals = '\0';
        disk = equals + 1;
    }
    if (image_open(path, &fd, size, why))
        judge_bitmap(fd, *size, name, disk, why);
}
