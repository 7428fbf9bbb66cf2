#include "imagefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/draftfile.h"
#include "core/check/image.h"
#include "core/util.h"
#include "text.h"

#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* What verify says of such a file: for a name that is not there it tells about its drafts. */
static void judge_like_verify(const char *path, int error, struct ss_judgement *why)
{
    uint64_t size;
    int fd = -1;

    if (ss_image_open(path, &fd, &size, why))
        ss_judge_errno(why, error);
    ss_cleanup_close(&fd);
}

static bool is_link(const char *path, struct ss_judgement *why)
{
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
        return false;
    SS_AUTO_FREE char *real = realpath(path, NULL);
    SS_AUTO_FREE char *quoted = text_quote(real ? real : "");
    ss_judge(why, SS_NOT_A_FILE, "it is a symbolic link%s%s", real ? ": name the image itself, " : "",
             real ? quoted : "");
    return true;
}

/* Returns 0 or -errno. */
static int open_place(const char *path, bool follow, struct imagefile *image)
{
    SS_AUTO_FREE char *real = follow ? realpath(path, NULL) : NULL;

    if (follow && !real)
        return -errno;
    int r = ss_place_of(real ? real : path, &image->place, image->name);
    if (r < 0)
        return r;
    if (image->place.hidden)
        return image->place.hidden;
    if (fstatat(image->place.dir, image->name, &image->st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(image->st.st_mode)) /* before it is opened: the open of a device can do things */
        return -EISDIR;
    image->fd = openat(image->place.dir, image->name, OPEN_FLAGS);
    if (image->fd < 0 || fstat(image->fd, &image->st) < 0)
        return -errno;
    return S_ISREG(image->st.st_mode) ? 0 : -EISDIR;
}

bool imagefile_open(const char *path, bool follow, struct imagefile *image, struct ss_judgement *why)
{
    if (ss_draft_reserved(ss_place_base(path))) {
        ss_judge(why, SS_REQUEST_REFUSED, "it is a draft, and no image: see saveseal status");
        return false;
    }
    if (!follow && is_link(path, why))
        return false;
    int r = open_place(path, follow, image);
    if (r < 0 && image->place.hidden)
        ss_judge(why, SS_NO_PERMISSION, "the directory behind the mount can not be opened: %s", strerror(-r));
    else if (r < 0)
        judge_like_verify(path, r, why);
    if (r == 0 && ss_draft_reserved(image->name)) { /* a link led to it */
        ss_judge(why, SS_REQUEST_REFUSED, "it is a draft, and no image: see saveseal status");
        return false;
    }
    return r == 0;
}

bool imagefile_in_place(const struct imagefile *image, struct ss_judgement *why)
{
    bool there = ss_draft_still_named(image->place.dir, image->name, image->fd);

    if (!there)
        ss_judge(why, SS_CHANGED_WHILE_READING, "another file has its name by now, or it is gone");
    return there;
}

void imagefile_close(struct imagefile *image)
{
    ss_cleanup_close(&image->fd);
    image->fd = -1;
    ss_place_close(&image->place);
}
