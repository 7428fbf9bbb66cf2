#include "salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#include "temporary.h"
#include "core/copy.h"
#include "core/rename.h"
#include "core/util.h"
#include "core/xattr.h"

#define TEMP_SUFFIX_LEN 17 /* "-" and 16 hex digits */

/* How long a mount may take to publish what was closed: it may wait to see how the program that wrote it ends, up to a
 * minute. */
#define PUBLISH_TRIES 1400
#define PUBLISH_STEP_NS 50000000L

/* ---- common ---- */

/* Takes all of Saveseal's attributes off. */
static int strip(int fd)
{
    int r = 0;

    ssize_t size = flistxattr(fd, NULL, 0);
    if (size <= 0)
        return size == 0 ? 0 : -errno;
    SS_AUTO_FREE char *names = report_must(malloc((size_t)size));
    size = flistxattr(fd, names, (size_t)size);
    if (size < 0)
        return -errno;
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        bool ours = strncmp(name, SS_XATTR_PREFIX, sizeof SS_XATTR_PREFIX - 1) == 0;
        int removed = ours ? ss_xattr_remove(fd, name) : 0;
        r = removed < 0 ? removed : r;
    }
    return r;
}

/* All of the draft's bytes into an empty file, durably. */
static int fill(const struct ss_draftfile *draft, int fd)
{
    struct stat now;

    int r = ss_copy_data(draft->fd, fd, (uint64_t)draft->st.st_size);
    if (r == 0)
        r = ss_copy_attributes(draft->fd, fd);
    if (r < 0)
        return r;
    /* The lock keeps Saveseal's programs away, not others. A file that changed meanwhile was copied as no version of
     * it. */
    if (fstat(draft->fd, &now) < 0)
        return -errno;
    if (now.st_size != draft->st.st_size || now.st_mtim.tv_sec != draft->st.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != draft->st.st_mtim.tv_nsec)
        return -EBUSY;
    const struct timespec times[] = {draft->st.st_atim, draft->st.st_mtim};
    futimens(fd, times); /* nice to have */
    return fsync(fd) < 0 ? -errno : 0;
}

/* ---- on the same file system ---- */

/* The rename comes before the attributes go: after a crash in between there is a public file with a record that nobody
 * minds, never a hidden one that nobody can place. */
static int move(const struct ss_draftfile *draft, int dir, const char *name)
{
    if (fsync(draft->fd) < 0) /* its writer may never have got so far */
        return -errno;
    if (!ss_draftfile_in_place(draft))
        return -ESTALE;
    int r = ss_rename_exclusive(draft->place.dir, draft->name, dir, name);
    if (r < 0)
        return r;
    /* From here on the file is in place, and what fails can not undo that. */
    r = strip(draft->fd);
    if (r == 0 && fsync(draft->fd) < 0)
        r = -errno;
    int s = ss_draft_sync_dir(dir);
    if (s == 0)
        s = ss_draft_sync_dir(draft->place.dir);
    if (r < 0 || s < 0)
        report("warning: the file is in place, but its attributes or its directory could not be updated: %s",
               strerror(r < 0 ? -r : -s));
    return 0;
}

/* ---- on another file system ---- */

/* A file without a name: nothing of it stays when the copy is broken off. Returns its descriptor or -errno. */
static int copy_unnamed(const struct ss_draftfile *draft, int dir, const char *name)
{
    char link[64];

    SS_AUTO_CLOSE int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -EOPNOTSUPP;
    int r = fill(draft, fd);
    if (r < 0)
        return r;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, link, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : ss_steal_fd(&fd);
}

/* For file systems that have no files without a name. The same. */
static int copy_named(const struct ss_draftfile *draft, int dir, const char *name)
{
    char temp[NAME_MAX + 1];

    snprintf(temp, sizeof temp, ".%.*s-%016" PRIx64, NAME_MAX - 1 - TEMP_SUFFIX_LEN, name, temporary_number());
    SS_AUTO_CLOSE int fd = openat(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = fill(draft, fd);
    if (r == 0)
        r = ss_rename_exclusive(dir, temp, dir, name);
    if (r < 0)
        unlinkat(dir, temp, 0);
    return r < 0 ? r : ss_steal_fd(&fd);
}

static int copy(const struct ss_draftfile *draft, int dir, const char *name)
{
    SS_AUTO_CLOSE int fd = copy_unnamed(draft, dir, name);

    if (fd == -EOPNOTSUPP)
        fd = copy_named(draft, dir, name);
    if (fd < 0)
        return fd;
    /* The draft may go only when the new name is safe. */
    int r = ss_draft_sync_dir(dir);
    if (r < 0 && ss_draft_still_named(dir, name, fd))
        unlinkat(dir, name, 0);
    return r;
}

/* ---- through a mount ---- */

/* A mount shows the inode numbers of the directory behind it. */
static bool is_called(int dir, const char *name, ino_t number)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == number;
}

/* Waits until what we wrote has the name for everybody, and not only for us. Returns 0, -EEXIST when somebody else got
 * the name first, or -ETIMEDOUT. */
static int await_publication(const struct ss_place *place, const char *name, ino_t number)
{
    const struct timespec step = {.tv_nsec = PUBLISH_STEP_NS};
    struct stat st;

    if (place->hidden) /* close() said so */
        return 0;
    for (int i = 0; i < PUBLISH_TRIES; i++) {
        if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return st.st_ino == number ? 0 : -EEXIST;
        nanosleep(&step, NULL);
    }
    return -ETIMEDOUT;
}

/* *kept: it failed when the mount had it already. Then the mount keeps the copy as an interrupted draft: to unlink the
 * name now could hit an image that got it meanwhile. */
static int save_through(const struct ss_draftfile *draft, const struct ss_place *place, const char *name, bool *kept)
{
    int fd = openat(place->seen, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st = {0};

    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) < 0 ? -errno : fill(draft, fd);
    if (r < 0 && is_called(place->seen, name, st.st_ino))
        unlinkat(place->seen, name, 0);      /* drops the mount's draft of it */
    int closed = close(fd) < 0 ? -errno : 0; /* the mount's answer: sealed or not */
    if (r < 0)
        return r;
    r = closed < 0 ? closed : await_publication(place, name, st.st_ino);
    *kept = r < 0;
    return r;
}

/* ---- choice ---- */

static void judge_failure(int error, bool kept, struct ss_judgement *why)
{
    static const char hint[] = "the mount keeps the copy as a draft, see saveseal status";

    if (error == -ESTALE || error == -EBUSY)
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
    else if (error == -ETIMEDOUT)
        ss_judge(why, SS_IO_ERROR, "the mount did not publish it; %s", hint);
    else if (error == -EEXIST && kept)
        ss_judge(why, SS_DEST_EXISTS, "somebody else got the name meanwhile; %s", hint);
    else if (kept)
        ss_judge(why, SS_IO_ERROR, "%s; %s", strerror(-error), hint);
    else
        ss_judge_errno(why, error);
}

bool salvage_to(const struct ss_draftfile *draft, const struct ss_format_probe *probe, const struct ss_place *place,
                const char *name, struct ss_judgement *why)
{
    bool kept = false;
    int r;

    if (place->on_mount && probe->completion == SS_COMPLETION_PARTIAL) {
        ss_judge(why, SS_USAGE, "%s, so savesealfs would hide the file again: name a file outside of the mount",
                 probe->why);
        return false;
    }
    if (place->on_mount) {
        r = save_through(draft, place, name, &kept);
    } else {
        r = move(draft, place->dir, name);
        if (r == -EXDEV)
            r = copy(draft, place->dir, name);
    }
    if (r < 0)
        judge_failure(r, kept, why);
    return r == 0;
}

int salvage_finish(const struct ss_draftfile *draft)
{
    int r = ss_draftfile_remove(draft);

    return r == -ESTALE ? 0 : r; /* renamed: nothing is left to remove */
}
