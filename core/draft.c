#include "draft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "proc.h"
#include "rename.h"
#include "util.h"
#include "xattr.h"

/* The lock stands on one byte far behind any data, so that it never meets the locks that programs put on their files.
 */
#define LOCK_OFFSET (INT64_MAX - 1)

#define NAME_TRIES 16
#define TURN_MS 500
#define PROBE_SIZE (1U << 20) /* as much as a program writes at once */

bool ss_draft_reserved(const char *name)
{
    return strncmp(name, SS_DRAFT_PREFIX, sizeof SS_DRAFT_PREFIX - 1) == 0;
}

int ss_draft_read(int fd, struct ss_draft_record *record)
{
    char text[SS_RECORD_MAX];

    ssize_t len = fgetxattr(fd, SS_DRAFT_XATTR, text, sizeof text);
    if (len < 0)
        return errno == ERANGE ? -EBADMSG : -errno;
    return ss_draft_decode(text, (size_t)len, record);
}

/* Starts from the line that is there, so that keys of a newer version survive. */
int ss_draft_write(int fd, const struct ss_draft_record *record)
{
    struct ss_draft_record written = *record;
    struct ss_record line;
    char text[SS_RECORD_MAX];

    ssize_t len = fgetxattr(fd, SS_DRAFT_XATTR, text, sizeof text);
    if (len < 0 || ss_record_decode(text, (size_t)len, &line) < 0)
        ss_record_init(&line);
    if (record->state == SS_DRAFT_INTERRUPTED && record->ended == 0 && !ss_record_get(&line, "ended"))
        written.ended = time(NULL);
    int r = ss_draft_fill(&line, &written);
    if (r < 0)
        return r;
    len = ss_record_encode(&line, text, sizeof text);
    if (len < 0)
        return (int)len;
    return ss_xattr_set(fd, SS_DRAFT_XATTR, text, (size_t)len);
}

static int set_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_OFFSET, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

int ss_draft_lock(int fd)
{
    return set_lock(fd, F_WRLCK);
}

int ss_draft_hold(int fd)
{
    return set_lock(fd, F_RDLCK);
}

int ss_draft_unlock(int fd)
{
    return set_lock(fd, F_UNLCK);
}

int ss_draft_take_lease(int fd)
{
    fcntl(fd, F_SETSIG, SIGURG); /* to whoever has a lease that is in somebody's way: by default that would kill */
    return fcntl(fd, F_SETLEASE, F_RDLCK) < 0 ? -errno : 0;
}

bool ss_draft_is_written(int fd)
{
    int r = ss_draft_take_lease(fd);

    if (r == 0)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    return r == -EAGAIN;
}

/* A draft of the preload library has no lock while it is written. What is interrupted stays so, whoever has it open. */
static bool is_written_still(int fd)
{
    struct ss_draft_record record = {0};

    return ss_draft_read(fd, &record) == 0 && record.preload && record.state != SS_DRAFT_INTERRUPTED &&
           ss_draft_is_written(fd);
}

int ss_draft_is_live(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_OFFSET, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    bool locked = lock.l_type != F_UNLCK;
    return locked || is_written_still(fd);
}

static int fresh_name(char name[SS_DRAFT_NAME_SIZE])
{
    uint64_t id;

    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return -errno;
    snprintf(name, SS_DRAFT_NAME_SIZE, SS_DRAFT_PREFIX "%016llx", (unsigned long long)id);
    return 0;
}

/* Opens a new file under a fresh name; a name that is taken by chance is simply tried again. */
static int create_fresh(int dir, int flags, mode_t mode, char name[SS_DRAFT_NAME_SIZE])
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int r = fresh_name(name);
        if (r < 0)
            return r;
        int fd = openat(dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

/* On a file that has none yet. */
static int write_first(int fd, const struct ss_draft_record *record)
{
    char text[SS_RECORD_MAX];

    ssize_t len = ss_draft_encode(record, text, sizeof text);
    return len < 0 ? (int)len : ss_xattr_set(fd, SS_DRAFT_XATTR, text, (size_t)len);
}

static int create_one(int dir, int flags, mode_t mode, const struct ss_draft_record *record, bool locked,
                      char name[SS_DRAFT_NAME_SIZE])
{
    SS_AUTO_CLOSE int fd = create_fresh(dir, flags, mode, name);
    if (fd < 0)
        return fd;
    int r = locked ? ss_draft_lock(fd) : 0;
    if (r == 0)
        r = write_first(fd, record);
    if (r < 0) {
        unlinkat(dir, name, 0);
        return r;
    }
    return ss_steal_fd(&fd);
}

int ss_draft_create(int dir, mode_t mode, const struct ss_draft_record *record, char name[SS_DRAFT_NAME_SIZE], int *fd)
{
    int r = -EAGAIN;

    /* Somebody who recovers the directory may have the lock for a moment. */
    for (int i = 0; r == -EAGAIN && i < NAME_TRIES; i++)
        r = create_one(dir, O_RDWR | O_CLOEXEC, mode, record, true, name);
    if (r < 0) {
        name[0] = '\0';
        return r;
    }
    /* The digests read the draft; the access time is its writer's to set. Where that is refused it moves: no harm. */
    fcntl(r, F_SETFL, O_NOATIME);
    *fd = r;
    return 0;
}

int ss_draft_create_open(int dir, int flags, mode_t mode, const struct ss_draft_record *record,
                         char name[SS_DRAFT_NAME_SIZE])
{
    int fd = create_one(dir, flags, mode, record, false, name);

    if (fd < 0)
        name[0] = '\0';
    return fd;
}

bool ss_draft_still_named(int dir, const char *name, int fd)
{
    struct stat by_name, by_fd;

    return fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &by_fd) == 0 &&
           by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
}

bool ss_draft_may_replace(int dir, int fd, const char *target)
{
    struct stat place, draft, image;

    if (fstatat(dir, "", &place, AT_EMPTY_PATH) < 0 || fstat(fd, &draft) < 0)
        return false;
    if (!(place.st_mode & S_ISVTX) || draft.st_uid == 0 || draft.st_uid == place.st_uid)
        return true;
    if (fstatat(dir, target, &image, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT;
    return image.st_uid == draft.st_uid;
}

/* Between two names of one file rename does nothing, and says that all is well. There may be two after a crash where
 * ss_rename_exclusive needs two steps. */
static int rename_over(int dir, const char *name, int fd, const char *target)
{
    struct stat st;

    if (renameat(dir, name, dir, target) < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_nlink > 1 && ss_draft_still_named(dir, name, fd))
        unlinkat(dir, name, 0);
    return 0;
}

static int read_base(int dir, const char *name, struct ss_draft_base *base)
{
    struct statx stx;

    if (statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &stx) < 0)
        return -errno;
    bool has_birth = (stx.stx_mask & STATX_BTIME) && stx.stx_btime.tv_sec > 0;
    base->ino = stx.stx_ino;
    base->born = has_birth ? (uint64_t)stx.stx_btime.tv_sec * SS_SECOND_NS + stx.stx_btime.tv_nsec : 0;
    return 0;
}

int ss_draft_base_of(int fd, struct ss_draft_base *base)
{
    struct statfs fs;

    int r = read_base(fd, "", base);
    if (r == 0 && fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC)
        base->born = 0; /* the file is made anew, with the same number, when its first attribute is changed */
    return r;
}

bool ss_draft_base_lost(int dir, const char *target, const struct ss_draft_base *base)
{
    struct ss_draft_base now;

    if (base->ino == 0 || read_base(dir, target, &now) < 0)
        return false;
    return now.ino != base->ino || (now.born != base->born && now.born != 0 && base->born != 0);
}

/* Among those who replace an image in the directory, in whatever process: who has looked which image it is, replaces
 * that one. A program may have this lock for itself: then we go on without it. Returns a descriptor to be closed. */
static int take_turn(int dir)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < TURN_MS && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++)
        nanosleep(&pause, NULL);
    return fd;
}

/* A name that is nobody's needs no turn. */
static int replace(int dir, const char *name, int fd, const char *target, const struct ss_draft_base *base)
{
    if (renameat2(dir, name, dir, target, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST && errno != EINVAL && errno != ENOSYS)
        return -errno;
    int turn = take_turn(dir), r;
    if (ss_draft_base_lost(dir, target, base))
        r = -EEXIST;
    else if (base->ino && renameat2(dir, name, dir, target, RENAME_NOREPLACE) == 0)
        r = 0; /* it was deleted since; what is made by others in this moment needs no turn */
    else
        r = rename_over(dir, name, fd, target);
    if (turn >= 0) {
        flock(turn, LOCK_UN); /* a child that was forked meanwhile has the descriptor, too */
        close(turn);
    }
    return r;
}

int ss_draft_publish(int dir, const char *name, int fd, const char *target, bool exclusive,
                     const struct ss_draft_base *base)
{
    int r;

    if (!ss_draft_still_named(dir, name, fd))
        return -ESTALE;
    if (!ss_draft_may_replace(dir, fd, target))
        return -EPERM;
    if (exclusive)
        r = ss_rename_exclusive(dir, name, dir, target);
    else
        r = replace(dir, name, fd, target, base);
    /* Rename first: a crash in between leaves a public image with a record that nobody minds, never a hidden file that
     * nobody can place. */
    if (r == 0)
        ss_xattr_remove(fd, SS_DRAFT_XATTR);
    return r;
}

/* Where the file system does not know RENAME_NOREPLACE a plain rename does, for nobody else has that fresh name; while
 * between two steps a new version could get the image's name, and go with the second. */
static int rename_away(int dir, const char *from, const char *name)
{
    if (renameat2(dir, from, dir, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return renameat(dir, from, dir, name) < 0 ? -errno : 0;
}

static int rename_fresh(int dir, const char *from, char name[SS_DRAFT_NAME_SIZE])
{
    int r = -EEXIST;

    for (int i = 0; r == -EEXIST && i < NAME_TRIES; i++) {
        r = fresh_name(name);
        if (r == 0)
            r = rename_away(dir, from, name);
    }
    return r;
}

/* Another file got the image's name between the last look and the rename, and was hidden with it. It gets the name
 * back; or where a still newer one has it, a record, so that it is listed. */
static void give_back(int dir, const char *name, const struct ss_draft_record *record)
{
    struct ss_draft_record other = *record;
    struct stat st;

    if (ss_rename_exclusive(dir, name, dir, record->target) == 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode))
        return;
    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    other.reason = SS_NAME_TAKEN;
    snprintf(other.detail, sizeof other.detail, "it had the name when an older version was to be set aside");
    if (fd >= 0)
        ss_draft_write(fd, &other);
}

/* The record first, and on the disk: a hidden file without one could not be placed by anybody, while on a public file
 * it means nothing. */
int ss_draft_set_aside(int dir, int fd, const struct ss_draft_record *record, char name[SS_DRAFT_NAME_SIZE])
{
    struct ss_draft_record aside = *record;

    if (!ss_draft_still_named(dir, record->target, fd))
        return -ESTALE;
    aside.ended = time(NULL); /* an old record may be left on it */
    int r = ss_draft_write(fd, &aside);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    /* The sync may have taken seconds, in which a new version may have got the name. */
    if (r == 0 && !ss_draft_still_named(dir, record->target, fd))
        r = -ESTALE;
    /* When this fails the record stays: somebody else may have set the file aside meanwhile, and it is his now. */
    if (r == 0)
        r = rename_fresh(dir, record->target, name);
    if (r == 0 && !ss_draft_still_named(dir, name, fd)) {
        give_back(dir, name, record);
        r = -ESTALE;
    }
    return r;
}

/* Does a draft agree with the seal that its last close left on it? */
static bool sealed_and_whole(int fd)
{
    struct ss_seal seal;
    enum ss_finding finding = SS_CONTENT_MISMATCH;

    return ss_seal_read(fd, &seal) == 0 && seal.has_verity && ss_seal_check_content(fd, &seal, NULL, &finding) == 0 &&
           finding == SS_INTACT;
}

static void set_crash_reason(struct ss_draft_record *record, bool whole)
{
    char boot[sizeof record->boot];

    if (record->state == SS_DRAFT_WAIT) {
        record->reason = SS_FORMAT_INCOMPLETE;
    } else {
        ss_proc_boot_id(boot, sizeof boot);
        bool ended = strcmp(boot, record->boot) == 0;
        record->reason = whole ? SS_CLOSED_UNPUBLISHED : record->preload && ended ? SS_WRITER_VANISHED : SS_DAEMON_DIED;
        snprintf(record->detail, sizeof record->detail, "%s %s",
                 !ended            ? "the host stopped"
                 : record->preload ? "its writer ended without closing it,"
                                   : "savesealfs ended",
                 whole ? "before it got its name" : "while it was being written");
    }
    record->state = SS_DRAFT_INTERRUPTED;
}

static bool is_empty(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size == 0;
}

/* Is it live? Or committed, and somebody still has it open for writing: a writer whose draft the kernel writes by
 * itself goes on when the daemon is gone. */
static bool is_in_use(int dir, const char *name)
{
    struct ss_draft_record record = {0};

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    return ss_draft_is_live(fd) > 0 ||
           (ss_draft_read(fd, &record) == 0 && record.state == SS_DRAFT_PREPARED && ss_draft_is_written(fd));
}

/* A PREPARED draft was committed by its writer and lacks only the rename. Whoever died may have done so before its sync
 * ended, and to be read from memory is not to be on the disk. */
static int publish_committed(int dir, const char *name, int fd, struct ss_draft_record *record)
{
    if (fsync(fd) < 0) {
        record->state = SS_DRAFT_INTERRUPTED;
        record->reason = SS_SYNC_FAILED;
        snprintf(record->detail, sizeof record->detail, "fsync failed: %s", strerrordesc_np(errno));
        return ss_draft_write(fd, record);
    }
    int r = ss_draft_publish(dir, name, fd, record->target, record->exclusive, &record->base);
    if (r == -EEXIST) {
        record->state = SS_DRAFT_INTERRUPTED;
        record->reason = SS_NAME_TAKEN;
        snprintf(record->detail, sizeof record->detail, "%s",
                 record->exclusive ? "the name exists by now" : SS_DRAFT_BASE_LOST);
        return ss_draft_write(fd, record);
    }
    if (r == 0)
        r = ss_draft_sync_dir(dir);
    return r < 0 ? r : 1;
}

int ss_draft_recover(int dir, const char *name, struct ss_draft_record *record)
{
    struct ss_draft_record found = {0};

    if (is_in_use(dir, name))
        return -EAGAIN;
    SS_AUTO_CLOSE int fd = ss_open_writable(dir, name);
    if (fd < 0)
        return fd;
    int r = ss_draft_lock(fd);
    if (r < 0)
        return r;
    if (!ss_draft_still_named(dir, name, fd))
        return -EAGAIN;
    r = ss_draft_read(fd, &found);
    if (r == -ENODATA && is_empty(fd)) {
        /* Its maker died between creating it and writing its record: there is nothing in it to lose. */
        return unlinkat(dir, name, 0) < 0 ? -errno : -ENOENT;
    }
    if (r < 0)
        return r;
    bool whole = found.state != SS_DRAFT_INTERRUPTED && sealed_and_whole(fd);
    if (found.state == SS_DRAFT_PREPARED && whole && ss_draft_may_replace(dir, fd, found.target)) {
        r = publish_committed(dir, name, fd, &found);
    } else if (found.state != SS_DRAFT_INTERRUPTED) {
        set_crash_reason(&found, whole);
        r = ss_draft_write(fd, &found);
    }
    *record = found;
    return r;
}

void ss_draft_describe_writer(struct ss_draft_record *record, pid_t pid, uint64_t start)
{
    record->pid = pid;
    record->start = start;
    ss_proc_name(pid, record->writer, sizeof record->writer);
    ss_proc_boot_id(record->boot, sizeof record->boot);
    if (gethostname(record->host, sizeof record->host) < 0)
        record->host[0] = '\0';
    record->host[sizeof record->host - 1] = '\0';
    record->opened = time(NULL);
}

int ss_draft_sync_dir(int dir)
{
    if (fsync(dir) == 0)
        return 0;
    if (errno != EBADF)
        return -errno;
    /* It was opened with O_PATH. */
    SS_AUTO_CLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int probe_by_statistics(const struct statfs *fs)
{
    bool limited = fs->f_blocks > 0; /* a tmpfs may have no size */
    return limited && (uint64_t)fs->f_bavail * (uint64_t)fs->f_frsize < PROBE_SIZE ? -ENOSPC : 0;
}

int ss_draft_probe_space(int dir, int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) < 0)
        return -errno;
    if (fs.f_type == TMPFS_MAGIC)
        return probe_by_statistics(&fs); /* which tell it all there; to reserve memory takes as long as to write it */

    SS_AUTO_CLOSE int probe = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (probe < 0) /* a file system that knows no files without names */
        return probe_by_statistics(&fs);
    if (fstat(fd, &st) == 0 && fchown(probe, st.st_uid, st.st_gid) < 0)
        errno = 0; /* then it is our own quota that is asked */
    int r = fallocate(probe, FALLOC_FL_KEEP_SIZE, 0, PROBE_SIZE) < 0 ? -errno : 0;
    return r == 0 || r == -ENOSPC || r == -EDQUOT ? r : probe_by_statistics(&fs); /* or that can't reserve space */
}
