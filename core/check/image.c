#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/util.h"
#include "draftfile.h"
#include "place.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static void judge_kind(mode_t mode, struct ss_judgement *why)
{
    ss_judge(why, SS_NOT_A_FILE, "%s",
             S_ISDIR(mode)    ? "it is a directory"
             : S_ISLNK(mode)  ? "it is a symbolic link"
             : S_ISFIFO(mode) ? "it is a fifo"
             : S_ISSOCK(mode) ? "it is a socket"
                              : "it is a device");
}

/* Nothing was found out about the file, because this process could not look. */
static bool lacks_means(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* A name that is not there may be one that is being saved for the first time. */
static void judge_absent(const char *path, struct ss_judgement *why)
{
    struct ss_draftfile_search found;

    ss_judge(why, SS_NOT_FOUND, "%s", "");
    int r = ss_draftfile_find(path, &found);
    if (lacks_means(r))
        ss_judge_errno(why, r); /* it may be there a moment later */
    if (r < 0)
        return;
    if (found.live) {
        ss_judge(why, found.finding, "%s", "");
    } else if (found.interrupted == 1) {
        SS_AUTO_FREE char *quoted = ss_place_sibling_quoted(path, found.name);
        ss_judge(why, SS_NOT_FOUND, "its save was interrupted: the draft is %s", quoted ? quoted : found.name);
    } else if (found.interrupted > 1) {
        ss_judge(why, SS_NOT_FOUND, "%u saves of it were interrupted: saveseal status lists the drafts",
                 found.interrupted);
    }
}

/* Opens the public version of the image, through its mount or not. On a mount it is the file behind it: a tool that a
 * saving program starts is of its writer family, to which the mount shows the draft; and an image with a damaged header
 * the mount does not let be opened at all. *hidden tells that there is such a file and that it can not be reached.
 * Returns a descriptor or -errno. */
static int open_public(const char *path, bool *hidden)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    char name[NAME_MAX + 1];
    int fd;

    SS_AUTO_FREE char *real = realpath(path, NULL);
    int r = real ? ss_place_of(real, &place, name) : -errno;
    if (r == 0 && lacks_means(place.hidden))
        r = place.hidden;
    if (lacks_means(r)) /* by the path it might be another file */
        return r;
    if (r == 0 && place.on_mount && !place.hidden)
        fd = openat(place.dir, name, OPEN_FLAGS | O_NOFOLLOW);
    else
        fd = open(path, OPEN_FLAGS);
    *hidden = place.hidden != 0;
    return fd < 0 ? -errno : fd;
}

static void judge_open(const char *path, int error, bool hidden, struct ss_judgement *why)
{
    if (error == -ENOENT)
        judge_absent(path, why);
    else if (error == -EIO && hidden)
        ss_judge(why, SS_IO_ERROR,
                 "the mount refuses it: the disk, or its header does not agree with its seal; root can tell");
    else
        ss_judge_errno(why, error);
}

bool ss_image_is_file(int fd, uint64_t *size, struct ss_judgement *why)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        ss_judge_errno(why, -errno);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        judge_kind(st.st_mode, why);
        return false;
    }
    *size = (uint64_t)st.st_size;
    return true;
}

/* Takes an open file over (or -errno) when it is a regular one. */
static bool take_opened(const char *path, int opened, bool hidden, int *fd, uint64_t *size, struct ss_judgement *why)
{
    SS_AUTO_CLOSE int file = opened;

    if (file < 0) {
        judge_open(path, file, hidden, why);
        return false;
    }
    if (!ss_image_is_file(file, size, why))
        return false;
    *fd = ss_steal_fd(&file);
    return true;
}

bool ss_image_open(const char *path, int *fd, uint64_t *size, struct ss_judgement *why)
{
    bool hidden = false;
    struct stat st;

    /* Looked at before it is opened: the open of a device can do things. */
    int r = stat(path, &st) < 0 ? -errno : 0;
    if (r == 0 && !S_ISREG(st.st_mode)) {
        judge_kind(st.st_mode, why);
        return false;
    }
    int file = r == 0 ? open_public(path, &hidden) : r;
    return take_opened(path, file, hidden, fd, size, why);
}

bool ss_image_open_at(const struct ss_place *place, const char *name, const char *path, int *fd, uint64_t *size,
                      struct ss_judgement *why)
{
    struct stat st;

    int file = fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (file == 0 && !S_ISREG(st.st_mode)) {
        judge_kind(st.st_mode, why);
        return false;
    }
    if (file == 0) {
        file = openat(place->dir, name, OPEN_FLAGS | O_NOFOLLOW);
        file = file < 0 ? -errno : file;
    }
    return take_opened(path, file, place->hidden != 0, fd, size, why);
}

bool ss_image_seal(int fd, struct ss_seal *seal, struct ss_judgement *why)
{
    int r = ss_seal_read(fd, seal);

    switch (r) {
    case 0:
        return true;
    case -ENODATA:
    case -ENOTSUP:
        ss_judge(why, SS_UNSEALED, "%s", "");
        break;
    case -EBADMSG:
    case -E2BIG:
        ss_judge(why, SS_SEAL_INVALID, "%s", "");
        break;
    case -EPROTONOSUPPORT:
        ss_judge(why, SS_SEAL_TOO_NEW, "%s", "");
        break;
    default:
        ss_judge_errno(why, r);
    }
    return false;
}
