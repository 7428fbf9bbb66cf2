#include "begin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "drafts.h"
#include "ending.h"
#include "inside.h"
#include "judge.h"
#include "readable.h"
#include "real.h"
#include "roots.h"
#include "self.h"
#include "where.h"
#include "core/copy.h"
#include "core/seal.h"
#include "core/util.h"

#define TRIES 100 /* of an open whose name gets a new version each time that it looks */
#define MAKES (O_CREAT | O_EXCL | O_TRUNC)
#define KNOWN                                                                                                          \
    (O_ACCMODE | MAKES | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |  \
     O_CLOEXEC | O_NOCTTY | O_LARGEFILE | O_ASYNC)

static _Atomic bool no_openat2;

/* One thread at a time begins a draft of a name: two would each have a version of its own. Taken before every other
 * lock, by the name's sum; who has one waits for the disk, but for nobody who has the draft. */
#define TURNS 64
static pthread_mutex_t turns[TURNS] = {[0 ... TURNS - 1] = PTHREAD_MUTEX_INITIALIZER};

static bool writes(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
}

bool ss_begin_is_plain(const char *path, int flags)
{
    if (!ss_active || ss_inside() || (flags & O_PATH) == O_PATH)
        return true;
    if (!ss_readable_path(path) || !path[0])
        return true; /* the kernel says what is wrong with it */
    return !writes(flags) && !ss_drafts_any() && !strstr(path, SS_DRAFT_PREFIX);
}

static int fail(int error)
{
    errno = -error;
    return -1;
}

/* Cuts a draft that was opened, perhaps for reading only. */
static int cut(const struct ss_held *held, int fd, int flags)
{
    if ((flags & O_ACCMODE) != O_RDONLY)
        return ftruncate(fd, 0) < 0 ? -errno : 0;
    SS_AUTO_CLOSE int writable = openat(held->dir, held->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (writable < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    if (!ss_draft_still_named(held->dir, held->name, writable))
        return -ESTALE;
    return ftruncate(writable, 0) < 0 ? -errno : 0;
}

/* One more descriptor of a draft that we have. Fails with ESTALE when it is no draft any more: the kernel may have let
 * us wait until it was published. So nothing is cut before that is known. */
static int open_held(struct ss_held *held, int flags)
{
    int fd = openat(held->dir, held->name, (flags & ~MAKES) | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    int r = ss_draft_still_named(held->dir, held->name, fd) ? 0 : -ESTALE;
    if (r == 0 && (flags & O_TRUNC)) {
        r = cut(held, fd, flags);
        if (r == 0)
            ss_judge_begins_anew(held);
    }
    if (r == 0 && (flags & O_ACCMODE) != O_RDONLY && ss_self_may_remember()) {
        r = ss_drafts_bind(held, fd);
        ss_draft_unlock(held->witness); /* that it is open says that it is live; the program may want to lock it */
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* Like ss_draft_create, but open as the program wants it, and without a lock: what is open for writing is live. */
static int create(int dir, int flags, mode_t mode, const struct ss_draft_record *record, char name[SS_DRAFT_NAME_SIZE])
{
    return ss_draft_create_open(dir, (flags & ~(MAKES | O_NOFOLLOW | O_DIRECTORY)), mode, record, name);
}

/* May this process write to the image that its save is to replace? */
static int check_access(int dir, const char *name, int flags)
{
    int wanted = (flags & O_ACCMODE) == O_RDWR ? R_OK | W_OK : W_OK;
    return faccessat(dir, name, wanted, AT_EACCESS) < 0 ? -errno : 0;
}

/* The draft takes the image's attributes over, and its content unless it is to be cut. */
static int take_over(int image, int dir, const char *draft, bool content)
{
    struct stat st;

    SS_AUTO_CLOSE int to = openat(dir, draft, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0 || fstat(image, &st) < 0)
        return -errno;
    int r = content ? ss_copy_data(image, to, (uint64_t)st.st_size) : 0;
    return r < 0 ? r : ss_copy_attributes(image, to);
}

#define TICK_MS 25 /* more than one of any kernel */

/* A draft that is a mere copy of the image, so far. As long as it keeps this stamp, closing it is no save; so what the
 * program writes has to give it another one. Returns false where that is not certain, and every close is a save: the
 * clock's next tick does not come (whole seconds, the clock of another machine), or stores into a mapping move no time
 * (tmpfs). */
static bool stamp_copy(int fd, struct ss_stamp *stamp)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct timespec coarse;
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_ctim.tv_nsec == 0 || fstatfs(fd, &fs) < 0 || fs.f_type == TMPFS_MAGIC ||
        fs.f_type == FUSE_SUPER_MAGIC)
        return false;
    *stamp = ss_stamp_of(&st);
    for (int i = 0; i < TICK_MS; i++) {
        if (clock_gettime(CLOCK_REALTIME_COARSE, &coarse) == 0 && ss_stamp_is_past(stamp, &coarse))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static int open_hidden(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags);
    return fd < 0 ? -errno : ss_self_hide_fd(fd);
}

/* dir: hidden, and the draft's if there is one. image: of the version that is replaced, hidden, or -1. So the program's
 * descriptor is the lowest that is free, as open() promises. */
static int begin_draft(int *dir, const char *canonical, const char *name, int flags, mode_t mode, int image)
{
    struct ss_draft_record record;
    char draft[SS_DRAFT_NAME_SIZE];
    struct stat st;

    ss_self_describe(&record);
    snprintf(record.target, sizeof record.target, "%s", name);
    record.exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    record.preload = true;
    bool is_copy = image >= 0 && !(flags & O_TRUNC);
    if (is_copy)
        ss_draft_base_of(image, &record.base);
    mode_t missing = image < 0 ? 0600 & ~mode : 0; /* what we need and the file is not to have */
    SS_AUTO_CLOSE int fd = create(*dir, flags, image < 0 ? mode | missing : 0600, &record, draft);
    if (fd < 0)
        return fd;
    int r = image < 0 ? 0 : take_over(image, *dir, draft, is_copy);
    SS_AUTO_CLOSE int witness = r < 0 ? r : open_hidden(*dir, draft, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (missing && fstat(fd, &st) == 0)
        fchmod(fd, st.st_mode & 07777 & ~missing);
    if (witness >= 0 && !ss_self_may_remember())
        return ss_steal_fd(&fd); /* a child of vfork: the program that it calls finds the draft open */
    struct ss_stamp stamp;
    bool is_mere_copy = is_copy && witness >= 0 && stamp_copy(fd, &stamp); /* before another thread can find it */
    struct ss_held *held =
        witness < 0 ? NULL : ss_drafts_add(*dir, witness, draft, canonical, &record, is_mere_copy ? &stamp : NULL);
    if (!held) {
        unlinkat(*dir, draft, 0);
        return witness < 0 ? witness : -ENFILE;
    }
    ss_steal_fd(dir);
    ss_steal_fd(&witness);
    r = ss_drafts_bind(held, fd);
    if (r < 0)
        ss_judge_drop(held);
    ss_drafts_put(held);
    return r < 0 ? r : ss_steal_fd(&fd);
}

/* Is the image one that must not be changed in place? */
static bool is_sealed(int image)
{
    struct ss_seal seal;
    return ss_seal_read(image, &seal) != -ENODATA;
}

/* Beyond what the kernel may say. */
#define PLAIN (-10001)   /* the real call has the answer */
#define CHANGED (-10002) /* the name stands for something else by now: to be looked at again */

/* Who finds a name that he has seen before gone. */
static int gone_is_changed(int r)
{
    return r == -ENOENT ? CHANGED : r;
}

/* The real call, by the name, might change in place what was saved under it meanwhile. So the very file that was looked
 * at is opened, or none. */
static int open_same(int dir, const char *name, int flags, const struct stat *wanted)
{
    struct stat st;

    SS_AUTO_CLOSE int fd = openat(dir, name, (flags & ~MAKES) | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return gone_is_changed(-errno);
    if (st.st_dev != wanted->st_dev || st.st_ino != wanted->st_ino)
        return CHANGED;
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); /* it was for a pipe that there might be by now */
    return ss_steal_fd(&fd);
}

/* The name stands for a file that is there. */
static int replace(int *dir, const char *canonical, const char *name, int flags, const struct stat *st)
{
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return -EEXIST;
    if (S_ISLNK(st->st_mode) && !(flags & O_NOFOLLOW))
        return -ELOOP; /* decide() follows it; what is put in its place after that is not opened at all */
    if (!S_ISREG(st->st_mode) || (flags & O_DIRECTORY))
        return PLAIN;
    if (!(flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY)
        return PLAIN; /* O_CREAT, and it is there */
    int r = check_access(*dir, name, flags);
    if (r < 0)
        return gone_is_changed(r);
    SS_AUTO_CLOSE int image = open_hidden(*dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (image < 0)
        return gone_is_changed(
            image); /* also where it could be written, but not read: its attributes could not be taken over */
    if (!(flags & O_TRUNC) && st->st_size > 0 && !is_sealed(image))
        return open_same(*dir, name, flags, st); /* nothing is known about it; an empty one waits to be filled */
    return begin_draft(dir, canonical, name, flags, 0, image);
}

/* The name stands for nothing. */
static int begin_new(int *dir, const char *canonical, const char *name, int flags, mode_t mode)
{
    if (!(flags & O_CREAT))
        return -ENOENT; /* the real call might change in place what gets the name in this moment */
    if ((flags & O_ACCMODE) == O_RDONLY && (flags & O_TRUNC)) { /* nothing that gets the name now may be cut */
        int fd = openat(*dir, name, (flags & ~O_TRUNC) | O_EXCL | O_NOFOLLOW, mode);
        int r = fd < 0 ? -errno : fd;
        return r == -EEXIST && !(flags & O_EXCL) ? CHANGED : r;
    }
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_DIRECTORY))
        return PLAIN;
    return begin_draft(dir, canonical, name, flags, mode, -1);
}

static int open_in(int *dir, const char *canonical, const char *name, int flags, mode_t mode)
{
    struct stat st;

    for (int tries = 0; tries < TRIES; tries++) {
        int r;
        if (fstatat(*dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            r = replace(dir, canonical, name, flags, &st);
        else if (errno == ENOENT)
            r = begin_new(dir, canonical, name, flags, mode);
        else
            return PLAIN;
        if (r != CHANGED)
            return r;
    }
    return -ENOENT;
}

static pthread_mutex_t *turn_of(const char *canonical)
{
    unsigned sum = 0;

    for (; *canonical; canonical++)
        sum = sum * 31 + (unsigned char)*canonical;
    return &turns[sum % TURNS];
}

void ss_begin_in_child(void)
{
    for (size_t i = 0; i < TURNS; i++)
        pthread_mutex_init(&turns[i], NULL);
}

/* There is no draft that we know. CHANGED: there is one by now. */
static int open_unknown(const char *canonical, int flags, mode_t mode)
{
    const char *name;

    SS_AUTO_CLOSE int dir = ss_roots_open_parent(canonical, &name);
    if (dir >= 0)
        dir = ss_self_hide_fd(dir);
    if (dir < 0)
        return dir;
    switch (ss_roots_place(dir)) {
    case SS_PLACE_OF_SAVESEALFS:
        return PLAIN;
    case SS_PLACE_ELSEWHERE:
        return -EOPNOTSUPP;
    case SS_PLACE_GOOD:
        break;
    }
    if (!ss_self_may_remember())
        return open_in(&dir, canonical, name, flags, mode);
    pthread_mutex_t *turn = turn_of(canonical);
    pthread_mutex_lock(turn);
    SS_AUTO_PUT struct ss_held *known = ss_drafts_find(canonical);
    int r = known ? CHANGED : open_in(&dir, canonical, name, flags, mode);
    pthread_mutex_unlock(turn);
    return r;
}

/* canonical: below a protected directory. */
static int open_protected(const char *canonical, int flags, mode_t mode)
{
    const char *name = strrchr(canonical, '/') + 1;

    for (int tries = 0; tries < TRIES; tries++) {
        SS_AUTO_PUT struct ss_held *held =
            ss_draft_reserved(name) ? ss_drafts_find_named(name) : ss_drafts_find(canonical);
        if (!held && ss_draft_reserved(name))
            return flags & O_CREAT ? -EPERM : -ENOENT;
        if (!held && !writes(flags))
            return PLAIN;
        if (!held) {
            int r = open_unknown(canonical, flags, mode);
            if (r != CHANGED)
                return r;
            continue;
        }
        if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
            return -EEXIST;
        int fd = open_held(held, flags);
        if (fd != -ESTALE || !ss_self_may_remember())
            return fd;
        ss_judge_closed(held, 0); /* finds out that it is over */
    }
    return -ENOENT;
}

/* Outside, as far as the text goes. The kernel opens it if there is no symbolic link on the way: then the text was all
 * there is to know, at the price of an open. */
static int open_without_links(int dirfd, const char *path, int flags, mode_t mode)
{
    const struct open_how how = {
        .flags = (unsigned)flags, .mode = flags & O_CREAT ? mode & 07777 : 0, .resolve = RESOLVE_NO_SYMLINKS};

    if ((flags & ~KNOWN) || atomic_load_explicit(&no_openat2, memory_order_relaxed))
        return fail(-ELOOP);
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); /* as in open(): a pipe may have no reader for long */
    long fd = ss_real()->syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    pthread_setcanceltype(type, NULL);
    if (fd >= 0 || errno == ELOOP)
        return (int)fd;
    if (errno == ENOSYS || errno == EPERM || errno == E2BIG) { /* before Linux 5.6, or filtered; or truly EPERM */
        atomic_store(&no_openat2, errno == ENOSYS);
        errno = ELOOP;
    }
    return -1;
}

/* A file without a name would get one, by linkat, and nothing would have sealed it: as on file systems that have no
 * such files, the program has to do without. */
static bool is_unnamed_here(int dirfd, const char *path)
{
    char inside[PATH_MAX], canonical[PATH_MAX];

    return (size_t)snprintf(inside, sizeof inside, "%s/file", path) < sizeof inside &&
           ss_where_resolved(dirfd, inside, false, canonical) > 0;
}

#define TRY (-10003) /* outside by its text: the kernel opens it, if there is no symbolic link on the way */

/* What is to be done: a descriptor, PLAIN, TRY, or -errno. With looked, the text has been found not to be enough. */
static int decide(int dirfd, const char *path, int flags, mode_t mode, bool looked)
{
    char canonical[PATH_MAX];
    int saved = errno;
    int r = -ELOOP;

    SS_INSIDE;
    if (ss_drafts_any() && ss_self_may_remember())
        ss_ending_look();
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        r = is_unnamed_here(dirfd, path) ? -EOPNOTSUPP : PLAIN;
        errno = saved;
        return r;
    }
    if (!looked && !ss_where_is_tricky(path)) {
        if (ss_where_by_text(dirfd, path, canonical))
            r = open_protected(canonical, flags, mode);
        else
            r = writes(flags) ? TRY : PLAIN;
    }
    if (r == -ELOOP || r == -ENOTDIR) { /* there are symbolic links on the way, or at the end */
        bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
        r = ss_where_resolved(dirfd, path, follow, canonical);
        if (r > 0)
            r = open_protected(canonical, flags, mode);
        else if (r == 0)
            r = PLAIN;
    }
    errno = saved;
    return r;
}

/* What is only passed on is called outside the guard: it may wait for long, and be left by a signal. */
int ss_begin_open(int dirfd, const char *path, int flags, mode_t mode)
{
    int saved = errno;
    int r = decide(dirfd, path, flags, mode, false);
    if (r == TRY) {
        int fd = open_without_links(dirfd, path, flags, mode);
        if (fd >= 0 || errno != ELOOP)
            return fd;
        errno = saved;
        r = decide(dirfd, path, flags, mode, true);
    }
    if (r == PLAIN)
        return ss_real()->openat(dirfd, path, flags, mode);
    return r < 0 ? fail(r) : r;
}

/* Is the text of a path all there is to know, because no symbolic link is on the way? */
static bool has_no_links(const char *path)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (ss_where_is_tricky(path) || atomic_load_explicit(&no_openat2, memory_order_relaxed))
        return false;
    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd < 0 && errno == ENOENT &&
        (size_t)snprintf(parent, sizeof parent, "%.*s/", slash ? (int)(slash - path) : 1, slash ? path : ".") <
            sizeof parent)
        fd = syscall(SYS_openat2, AT_FDCWD, parent, &how, sizeof how); /* it is to be made there */
    if (fd >= 0)
        close((int)fd);
    return fd >= 0;
}

bool ss_begin_concerns(const char *path)
{
    char canonical[PATH_MAX];
    int saved = errno;

    SS_INSIDE;
    if (ss_where_by_text(AT_FDCWD, path, canonical))
        return true;
    bool concerns = !has_no_links(path) && ss_where_resolved(AT_FDCWD, path, true, canonical) > 0;
    errno = saved;
    return concerns;
}
