/* The mounted file system: everything that the operations share. One per session, its user data.
 *
 * Threads: every request is served by some thread of loop.c. Locks, in the order in which they are taken (a thread may
 * take later ones while it holds earlier ones, never the other way round):
 *
 *   1. loop's receive lock   held while the next request is read, and by RELEASE until its state change is done
 *      save.busy             no lock, but claimed like one, and across I/O: see save.h
 *   2. save.content          one save: making its draft file; long (copies data)
 *   3. save.preparing        one save: sync and digest; long
 *      save.syncing          one save, within it or without: a sync, until its error is noted; long
 *   4. fs.tables             all of the node, handle and save tables; short, no I/O, never /proc
 *   5. save.state            one save: verdict, failures, writers, parties, whether it settles; short, no I/O, never
 *                            /proc (to poll or register a pidfd is neither)
 *
 * RELEASE takes 4 and 5 only, so that nothing slow runs under the receive lock; what is slow it defers (fs.deferred).
 * No lock is held while /proc is read: see core/proc.h.
 *
 * Two threads more decide what becomes of saves that settle (settle.h). They serve no request, claim a save like
 * anybody else, and never take the receive lock. Another one (writeout.h) syncs drafts that are being written. A save
 * is in the list of those that settle (guarded by tables) as long as save.settle (guarded by state, changed while busy
 * is claimed) says so. Who waits for one holds nothing but a reference on it. */
#ifndef SAVESEAL_FUSE_FS_H
#define SAVESEAL_FUSE_FS_H

#define FUSE_USE_VERSION 314

#include <fuse3/fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "arena.h"
#include "core/finding.h"
#include "node.h"
#include "slot.h"

#define SS_MAX_NODES (1u << 20)
#define SS_MAX_HANDLES (1u << 17)
#define SS_MAX_SAVES (1u << 14)
#define SS_SAVE_BUCKETS (1u << 10)
#define SS_SAVERS_MAX 16
#define SS_CLOSING_MAX 256u
#define SS_INIT_MAX 512u
#define SS_KEPT_MAX 1024u
#define SS_WALKS_MAX 64u

enum ss_commit {
    SS_COMMIT_SETTLE, /* published when its writers have ended well, or live on after a grace time */
    SS_COMMIT_CLOSE,  /* published at the last close */
    SS_COMMIT_EXIT,   /* published when its writers have ended well */
};

enum ss_handle_kind { SS_HANDLE_FREE, SS_HANDLE_IMAGE, SS_HANDLE_SAVE, SS_HANDLE_DIR };

/* An open file or directory. fi->fh is its generation and index, see ss_handle_fh. */
struct ss_handle {
    _Atomic enum ss_handle_kind kind; /* written last when it is taken, first when it is given back */
    uint32_t generation;              /* in fi->fh, too: tells a handle from a later one of the same index */
    int fd;                           /* IMAGE, DIR: own descriptor; SAVE: -1, the save has them */
    uint32_t node;                    /* holds a reference */
    uint32_t save;                    /* SAVE: holds a reference; else SS_NONE */
    bool writes;                      /* SAVE: opened for writing */
    _Atomic bool through_us;          /* IMAGE: not read by the kernel itself; counted by the node */

    /* SAVE, guarded by save.state; close_*: how its last FLUSH came about */
    _Atomic bool flushed; /* FLUSHed and not written through since; changes under state, may be read without */
    bool close_seen;
    pid_t closer; /* its process, 0 unknown */
    enum ss_finding close_finding;
    int close_number;

    _Atomic bool changed; /* SAVE: something was written or cut through it, or it was tried */

    _Atomic pid_t last_writer; /* thread of the last WRITE: saves a look into /proc each time */
};

struct ss_save;

/* A thread whose rename was sent for a second walk. All 0: free. */
struct ss_walk {
    pid_t tid;
    uint64_t sum;     /* of the names */
    uint64_t request; /* number of the first try */
    uint64_t since;   /* CLOCK_MONOTONIC nanoseconds */
};

/* What a worker leaves to its successor, at the beginning of the arena; the tables follow. */
struct ss_shared {
    uint64_t layout; /* see ss_fs_layout */

    /* Set by the keeper before there is a worker. */
    int root;    /* descriptor of the backing directory */
    int session; /* of /dev/fuse */
    int log;     /* of the system log's socket, -1 none */

    uint32_t nodes_used, handles_used, saves_used; /* of the pools, guarded by tables */
    _Atomic uint64_t serial;          /* of the next save; ends, renames and showings of saves take one, too */
    _Atomic uint32_t generation;      /* of the handle that was taken last */
    _Atomic bool ready;               /* the mount works, and whoever started it has been told */
    _Atomic bool told_no_passthrough; /* why the kernel can not read images by itself: once a mount */
    _Atomic dev_t device;             /* of the mount; 0 until known */
    _Atomic uint64_t served;          /* requests answered: a worker that dies without any makes no progress */
    _Atomic int64_t told_scarce;      /* of scarce.h; CLOCK_MONOTONIC seconds, and one */
    _Atomic uint32_t restarts;
    _Atomic uint32_t upgrades;
    _Atomic uint32_t refusals; /* upgrades that were not possible */
    bool own_fault;            /* the last worker died by a signal that programs send themselves */

    /* A count of lookups and a slot's note of it change together, or not at all: what to go back to. Guarded by tables.
     */
    struct {
        _Atomic uint32_t node; /* whose count is being changed, SS_NONE: no one's */
        uint64_t nlookup;
        uint32_t slot; /* SS_SLOTS_MAX: none */
        uint32_t slot_node, slot_forgotten;
    } counting;

    _Atomic uint32_t init_len; /* the kernel's first request; 0: it has not come yet */
    char init[SS_INIT_MAX];

    /* See ops_rename.c. */
    _Atomic uint64_t names_held_until;  /* until then the kernel is to remember no name; CLOCK_MONOTONIC nanoseconds */
    struct ss_walk walks[SS_WALKS_MAX]; /* guarded by tables */

    _Atomic int32_t backing_last;                      /* highest backing id that the kernel gave */
    _Atomic int32_t unwanted_backings[SS_CLOSING_MAX]; /* that it may forget, see passthrough.h; 0: free */

    char oom_score[16];  /* what the keeper had before it lowered its own */
    uint32_t kept_count; /* descriptors that were open before the tables, and are not for a worker to close */
    int kept[SS_KEPT_MAX];
    char backing[PATH_MAX], mount[PATH_MAX]; /* absolute */

    struct ss_slot slots[SS_SLOTS_MAX];
};

struct ss_fs {
    /* Set before threads are started, read-only afterwards. */
    int root;            /* O_PATH descriptor of the backing directory */
    const char *backing; /* its path, for messages; in shared, like the next */
    const char *mount;
    pid_t keeper; /* its descriptor table is ours */
    bool digest_full;
    enum ss_commit commit;
    uint64_t grace_ns;               /* of SS_COMMIT_SETTLE; at the end of the session, of all that settles */
    bool privileged;                 /* may act as other users */
    char *savers[SS_SAVERS_MAX + 1]; /* executables that may see every draft, NULL-terminated */
    uint32_t node_limit;             /* nodes in use above which descriptors are scarce: about half of these */
    bool no_resend;                  /* serve as on a kernel that sends no request twice */
    bool shared_directory;           /* others change it, too: the kernel shall remember nothing of it */
    bool no_direct;                  /* write drafts through the kernel's page cache */
    bool no_passthrough;             /* read every image through us */
    bool marked_only;                /* the user says that each image has a mark of its own that it is complete */
    bool resumed;                    /* a worker went before this one */
    struct ss_arena arena;
    struct ss_shared *shared; /* in the arena, like the records of the pools */
    char *requests;           /* in the arena: SS_SLOTS_MAX buffers */

    void (*initialised)(struct ss_fs *fs); /* called once, when the kernel's first request came: the mount works */
    void *initialised_context;

    /* Of settle.c, set before and after there are other threads. */
    int settle_epoll, settle_event, chores_event;
    pthread_t settle_thread, chores_thread;
    _Atomic bool settle_stopping;
    _Atomic uint32_t settling_count; /* changes under tables; a look without it spares others the lock */

    /* Of writeout.c, the same. */
    sem_t writeout_wanted;
    pthread_t writeout_thread;
    bool writeout_runs; /* of the main thread alone */
    _Atomic bool writeout_stopping;

    _Atomic uint64_t save_changes; /* counts how often a save got a name or lost it; changes under tables */
    bool direct_io;                /* drafts bypass the kernel's page cache. Set when INIT comes, before any open */
    _Atomic bool passthrough;      /* the kernel can read images by itself, as far as is known */
    _Atomic bool any_unwanted;     /* in shared->unwanted_backings */

    _Atomic bool trim_wanted; /* see trim.h */
    bool resending;           /* requests of the last worker may still come again. Guarded by the receive lock. */

    pthread_mutex_t tables;
    /* Guarded by tables: */
    struct ss_pool nodes, handles, saves;
    uint32_t *node_buckets;
    uint32_t save_buckets[SS_SAVE_BUCKETS];
    uint32_t draft_buckets[SS_SAVE_BUCKETS]; /* of draft_index.h */
    uint64_t save_moved[SS_SAVE_BUCKETS];    /* serial number of the last time that a save there lost or got its name */
    uint32_t save_count;                     /* linked saves */
    uint32_t finished;                       /* saves that lost their name since the last trim */

    /* Slow work that RELEASE left over: saves to finish, a list through save.next_deferred. Guarded by tables. */
    uint32_t deferred;

    /* Saves that settle, first and last of a list through save.settle_next. Guarded by tables. */
    uint32_t settling, settling_last;

    /* Descriptors to close without a lock: the last close of a big unlinked file takes long. Guarded by tables. */
    uint32_t closing_count;
    int closing[SS_CLOSING_MAX];
};

static inline struct ss_fs *ss_fs(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* Lays out the tables and opens the root node on the backing directory fd (which the fs then owns). Returns 0 or
 * -errno. */
int ss_fs_create(struct ss_fs *fs, int backing_fd);

/* Goes on with the tables behind descriptor fd, of a program that may have been another version. -EPROTONOSUPPORT when
 * its layout is another one. */
int ss_fs_attach(struct ss_fs *fs, int fd);

/* Tells tables of one layout from those of another. */
uint64_t ss_fs_layout(void);

void ss_fs_destroy(struct ss_fs *fs);

/* Handles. take: an index with a reference on node and, unless SS_NONE, save; SS_NONE when the table is full.
 * give: drops both references and closes the descriptor. */
uint32_t ss_handle_take(struct ss_fs *fs, enum ss_handle_kind kind, int fd, uint32_t node, uint32_t save, bool writes);
struct ss_handle *ss_handle_at(struct ss_fs *fs, uint64_t fh);
uint64_t ss_handle_fh(struct ss_fs *fs, uint32_t index);

/* False when fh is given back already: its RELEASE comes a second time. */
bool ss_handle_is_open(struct ss_fs *fs, uint64_t fh);
void ss_handle_give(struct ss_fs *fs, uint32_t index);

/* With tables held, in a new process, after ss_save_rebuild: which records are free, and what the saves have open.
 * References are not counted. */
void ss_handle_rebuild(struct ss_fs *fs);

/* With tables held: fd (-1: none) is done with. */
void ss_fs_close_later(struct ss_fs *fs, int fd);

/* Closes what was put off. Called without locks. */
void ss_fs_close_pending(struct ss_fs *fs);

/* The session has ended. If that is because the mount is gone, not because its connection was aborted, every file is
 * closed: does the RELEASEs that the kernel threw away with the mount. Then decides what settles. Called when no thread
 * serves any more. Returns whether the mount is gone. */
bool ss_fs_release_rest(struct ss_fs *fs);

extern const struct fuse_lowlevel_ops ss_ops;

#endif
