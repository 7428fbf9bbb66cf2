/* Drafts on disk: files that are being written, beside their target under a reserved hidden name.
 *
 * The directory is the database. A draft is `.saveseal.` and 16 hex digits, with a record in the extended
 * attribute user.saveseal.draft. It is live while an OFD lock is held on it or, if the preload library made it,
 * somebody has it open for writing: both end with their holder, so they tell the truth after any crash; the lock on a
 * shared directory too. Everything works on directory descriptors (O_PATH will do).
 *
 * No state in this module; functions may be called from any thread. */
#ifndef SAVESEAL_CORE_DRAFT_H
#define SAVESEAL_CORE_DRAFT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "finding.h"
#include "record.h"
#include "seal.h"

#define SS_DRAFT_PREFIX ".saveseal."
#define SS_DRAFT_XATTR "user.saveseal.draft"
#define SS_XATTR_PREFIX "user.saveseal." /* all of ours */
#define SS_DRAFT_ID_LEN 16
#define SS_DRAFT_NAME_SIZE (sizeof SS_DRAFT_PREFIX + SS_DRAFT_ID_LEN) /* NUL included */
#define SS_DETAIL_MAX 160

enum ss_draft_state {
    SS_DRAFT_WRITING,     /* somebody may still write */
    SS_DRAFT_WAIT,        /* all closed, its own header says that more is to come */
    SS_DRAFT_PREPARED,    /* durable, sealed, committed by its format's own mark: only the rename is missing */
    SS_DRAFT_INTERRUPTED, /* will not be published: see reason */
};

/* The image that a draft began as a copy of: to publish it over another would lose what that one's writer saved. */
struct ss_draft_base {
    uint64_t ino;  /* 0: it began empty, and replaces whatever is there */
    uint64_t born; /* nanoseconds since the epoch, 0: the file system does not tell. Numbers of files come again */
};

/* The detail of a draft that is kept for that, with the reason name-taken. */
#define SS_DRAFT_BASE_LOST "it began as a copy of an older version"

struct ss_draft_record {
    char target[NAME_MAX + 1]; /* public name, in the same directory */
    enum ss_draft_state state;
    enum ss_finding reason;     /* for INTERRUPTED why; SS_CLEAN otherwise */
    char detail[SS_DETAIL_MAX]; /* one clause in English, may be empty */
    char writer[SS_SEAL_WRITER_MAX];
    pid_t pid;      /* of the creating process, as the daemon sees it; 0 unknown */
    uint64_t start; /* its start time, clock ticks after boot (/proc/PID/stat field 22); 0 unknown */
    char boot[40];  /* /proc/sys/kernel/random/boot_id of that host */
    char host[65];
    time_t opened;  /* seconds since the epoch, UTC */
    time_t ended;   /* when it was interrupted, likewise; 0 unknown, or it is not */
    bool exclusive; /* made with O_EXCL: must not replace a name */
    struct ss_draft_base base;
    bool preload; /* made by the preload library: nobody but the writer itself sees how he ends */
    bool left;    /* of those: its creator closed it, or ended, well, when others still had it open */
};

/* True for names that belong to Saveseal: nothing but Saveseal may create or see them. */
bool ss_draft_reserved(const char *name);

/* Text codec; errors as ss_seal_decode and ss_seal_encode. */
int ss_draft_decode(const void *bytes, size_t len, struct ss_draft_record *record);
ssize_t ss_draft_encode(const struct ss_draft_record *record, char *buf, size_t size);

/* Sets the record's keys in a line, leaving others as they are, and the time of an end that is there already. Returns
 * 0, -EINVAL (a time before 1970) or -E2BIG. */
int ss_draft_fill(struct ss_record *line, const struct ss_draft_record *record);

/* Why a draft that is live no more is not public, as far as its record tells. */
enum ss_finding ss_draft_reason(const struct ss_draft_record *record);

/* Read and write the record of an open file (not O_PATH). read: -ENODATA when there is none. write keeps keys of the
 * record on disk that this version does not know, and notes the time when it is the first to say interrupted. */
int ss_draft_read(int fd, struct ss_draft_record *record);
int ss_draft_write(int fd, const struct ss_draft_record *record);

/* Creates an empty draft in dir with a fresh random name, takes its lock, writes its record.
 * name is written before there is a file of it, so that whoever shares that memory can clean up after a crash.
 * *fd is open O_RDWR and close-on-exec and holds the lock until it (and every duplicate) is closed.
 * Ownership and mode are those of a plain creation by the calling thread. On error nothing is left behind. */
int ss_draft_create(int dir, mode_t mode, const struct ss_draft_record *record, char name[SS_DRAFT_NAME_SIZE], int *fd);

/* The same without a lock, open with flags (an access mode and whatever else but O_CREAT, O_EXCL, O_TRUNC): such a
 * draft is live as long as somebody has it open for writing. Returns the descriptor or -errno. */
int ss_draft_create_open(int dir, int flags, mode_t mode, const struct ss_draft_record *record,
                         char name[SS_DRAFT_NAME_SIZE]);

/* Takes the lock (fd open for writing) without waiting: 0, -EAGAIN when somebody else holds it, -errno.
 * hold: the same for those who have it open for reading only; several may. unlock gives either back. is_live asks
 * without taking it (fd open for reading only): 1 when somebody has it, or has a draft of the preload
 * library open for writing that is not interrupted; 0 or -errno. */
int ss_draft_lock(int fd);
int ss_draft_hold(int fd);
int ss_draft_unlock(int fd);
int ss_draft_is_live(int fd);

/* A lease for reading, which the kernel gives exactly when nobody has the file open for writing, in whatever process,
 * nor mapped so; as long as it is held whoever opens it for writing waits (F_UNLCK, or closing fd, gives it back). fd:
 * open for reading only. Returns 0, -EAGAIN when somebody has; another -errno when the caller may not ask (it is
 * another user's), or the file system has no leases. */
int ss_draft_take_lease(int fd);

/* Has anybody the file open for writing, or mapped so? As above; false also when that can not be told. */
bool ss_draft_is_written(int fd);

/* True when name in dir is the very file that fd is open on: it was not taken away or replaced meanwhile. */
bool ss_draft_still_named(int dir, const char *name, int fd);

/* In a sticky directory nobody may replace what is another's: what its rules forbid the draft's owner must not be done
 * for him. */
bool ss_draft_may_replace(int dir, int fd, const char *target);

/* Which file that is. Returns 0 or -errno. */
int ss_draft_base_of(int fd, struct ss_draft_base *base);

/* Is the name another file's than the one that the draft began with? Not when it is nobody's. */
bool ss_draft_base_lost(int dir, const char *target, const struct ss_draft_base *base);

/* Gives the draft its public name in one rename and takes its record off; the caller syncs the directory when it must
 * be durable. With exclusive an existing name is not replaced, nor another image than base: -EEXIST. -ESTALE when name
 * is no longer this draft, -EPERM as ss_draft_may_replace says. fd is the draft's descriptor. */
int ss_draft_publish(int dir, const char *name, int fd, const char *target, bool exclusive,
                     const struct ss_draft_base *base);

/* Hides an image that must not be deleted: renames it to a fresh draft name with record (whose target is its name).
 * fd is the image, open for reading. The record is on the disk before the rename; the caller syncs the directory when
 * that must be durable, too. Returns 0 with the name that it has now; -ESTALE when its name stands for another file, or
 * -errno, and then it has its public name still. */
int ss_draft_set_aside(int dir, int fd, const struct ss_draft_record *record, char name[SS_DRAFT_NAME_SIZE]);

/* After a crash: what a draft that nobody holds must become. Takes the lock; a PREPARED draft that still agrees with
 * its seal is published, any other that had no verdict yet becomes INTERRUPTED with reason SS_DAEMON_DIED,
 * SS_WRITER_VANISHED (the preload library's), SS_CLOSED_UNPUBLISHED or SS_FORMAT_INCOMPLETE. record tells the caller
 * what it is now. An empty file without a record is removed: -ENOENT. Returns 1 when it was published, 0 when not,
 * -EAGAIN when it is live, -errno. */
int ss_draft_recover(int dir, const char *name, struct ss_draft_record *record);

/* Fills pid, start, boot, host, opened and writer for a process (pid 0: unknown) as of now. start: as ss_proc_start
 * gave it. */
void ss_draft_describe_writer(struct ss_draft_record *record, pid_t pid, uint64_t start);

/* Is there room for more, on the file system of dir, for the owner of fd? Returns 0, -ENOSPC or -EDQUOT, or another
 * -errno when that can not be told. */
int ss_draft_probe_space(int dir, int fd);

/* fsync of a directory given as any descriptor, O_PATH too. */
int ss_draft_sync_dir(int dir);

#endif
