/* A save: one name being written by one writer family, from its first open for writing until it is published, dropped
 * or given up. It owns the draft's descriptors and is what a save node shows.
 *
 * A save begins without a draft file when it edits an existing image: the draft is made at the first change, so that an
 * open for writing that changes nothing leaves no trace.
 *
 * `busy` works like a lock that may be held across I/O: whoever changes what the save is (reopens, publishes, drops,
 * renames it) claims it first. Order: after the receive lock, before content. It is never held for long while a
 * writable handle is open, so that RELEASE can claim it under the receive lock. */
#ifndef SAVESEAL_FUSE_SAVE_H
#define SAVESEAL_FUSE_SAVE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/draft.h"
#include "core/failures.h"
#include "family.h"
#include "core/format.h"
#include "fs.h"
#include "party.h"

#define SS_SAVE_WRITERS_MAX 16
#define SS_SAVE_EXPECTED_MAX 8

enum ss_save_status {
    SS_SAVE_OPEN,        /* may be written, also while nobody has it open */
    SS_SAVE_INTERRUPTED, /* judged and not published; its own family still sees it */
    SS_SAVE_PUBLISHED,   /* its draft has the public name now */
    SS_SAVE_DROPPED,     /* unlinked by its family, or never changed anything */
};

/* Between its last close and its verdict: see settle.h. */
enum ss_settle {
    SS_SETTLE_NO,
    SS_SETTLE_WAITING, /* until its parties have ended, or its time is over */
    SS_SETTLE_OVER,    /* that is decided, and the verdict is being carried out */
};

/* What the last preparation found; good while changes has not moved. */
struct ss_prepared {
    _Atomic bool valid; /* written last */
    uint64_t changes;
    struct ss_stamp written; /* of a draft that the kernel writes by itself: its size and time of change then */
    enum ss_completion completion;
    char why[128]; /* for a PARTIAL completion */
};

/* Where the draft will be published. */
struct ss_place {
    uint32_t dir; /* node of the directory */
    char target[NAME_MAX + 1];
};

struct ss_save {
    _Atomic bool in_use; /* written last when it is taken, first when it is freed */

    /* Guarded by fs.tables. */
    uint32_t next;       /* in its bucket */
    uint32_t next_draft; /* in that of its draft's name, see draft_index.h */
    uint32_t refs;       /* the node, handles, and whoever works on it */
    uint32_t node;       /* constant */
    bool linked;         /* reachable by name: holds a reference on node, directory and itself */
    struct ss_place places[2];
    _Atomic uint32_t place; /* the one that is in force; constant while busy */
    uint32_t next_deferred;
    bool sync_only;     /* deferred work: only the directory is left to sync */
    bool settle_listed; /* in the list of settling saves, which holds a reference */
    uint32_t settle_next, settle_previous;

    /* Constant once it is linked. */
    uint64_t serial; /* no other save of the mount has it */
    struct ss_family family;
    struct timespec begun; /* CLOCK_MONOTONIC */
    bool created;          /* there was no image of that name: nothing to fall back to */
    int base;              /* the image that is edited, O_RDONLY; -1 when created */

    /* content guards making the draft. draft goes from -1 to a descriptor once and then stays, so it may be read
     * without. */
    pthread_mutex_t content;
    _Atomic int draft;
    char draft_name[SS_DRAFT_NAME_SIZE]; /* written before there is a file of it, which is before draft */
    _Atomic int witness; /* the draft opened once more before it was first synced, -1 not yet: see ss_content_fsync */
    _Atomic bool unsure; /* a worker died, perhaps in the middle of a sync: ask the witness */

    _Atomic int32_t backing; /* how the kernel calls the draft, which it then writes by itself; 0: all goes through us.
                                Set once, before the kernel is told */

    _Atomic bool unseen; /* it did once: no write that failed then is known */

    /* Of writeout.c; the last two are its thread's own. */
    _Atomic uint64_t written; /* bytes, through us */
    uint64_t looked_at;       /* progress at the last look */
    uint64_t written_out;     /* and when it was synced */

    pthread_mutex_t preparing; /* one preparation at a time */

    /* Of ahead.c. The first two are of this worker alone; the others are as its predecessor left them. */
    _Atomic(struct ss_digest_memo *) memo; /* set once, NULL not yet */
    _Atomic bool digesting;                /* one digests at a time; he sets memo, and has the next two to himself */
    uint64_t digested_at;                  /* what `written` was then */
    uint64_t dropped_to;                   /* bytes: what lies before was dropped from the page cache */

    /* A write-back error is told once: nobody may take the answer "none" for good while another has the error in hand.
     */
    pthread_mutex_t syncing;

    _Atomic bool unbuffered; /* was opened with O_DIRECT: is not to stay in the page cache, nor to be written past it */
    _Atomic uint64_t changes; /* counts completed changes of content */

    pthread_mutex_t state;
    pthread_cond_t idle; /* busy became false */
    /* Guarded by state. */
    bool busy;
    enum ss_save_status status;
    pid_t expected[SS_SAVE_EXPECTED_MAX]; /* threads that were redirected here and whose open is yet to come; 0: free.
                                             They hold the conclusion up as if they had it open for writing. */
    time_t expected_since;                /* CLOCK_MONOTONIC seconds, of the youngest */
    bool opened;                          /* at least once */
    _Atomic uint64_t shown;               /* ss_save_serial when that was: only then others of the family find it */
    uint32_t handles;                     /* open handles */
    uint32_t writers;                     /* of those, open for writing */
    uint32_t unflushed;      /* of those, written through since their last close of a descriptor, or never closed */
    bool closed_once;        /* some FLUSH came for a descriptor open for writing */
    uint64_t closed_changes; /* changes when the last of these came */
    pid_t last_closer;       /* process of the last close for writing, 0 unknown */
    bool exclusive;          /* must not replace */
    bool promised;           /* the name, by its last close(), unless it is changed again: see rival.h */
    _Atomic enum ss_finding verdict; /* SS_CLEAN, or the first thing that spoilt it; written after detail */
    char detail[SS_DETAIL_MAX];
    struct ss_failures failures[2];
    _Atomic uint32_t failing;          /* the one that is in force */
    pid_t writer[SS_SAVE_WRITERS_MAX]; /* processes that wrote */
    uint32_t writer_count;             /* SS_SAVE_WRITERS_MAX + 1: more than fit */
    struct ss_parties parties;
    _Atomic uint64_t superseded; /* serial of another one of the family's that is being renamed over it; 0: none */
    _Atomic uint64_t superseded_by_image; /* inode number of an image that is; 0: none */
    _Atomic enum ss_settle settle;        /* changes while busy is claimed; written after the next three */
    uint64_t settle_since;                /* CLOCK_MONOTONIC nanoseconds */
    uint64_t settle_until;                /* then whoever lives and rests is believed; UINT64_MAX: never */
    uint64_t settle_first;                /* since when it settled for the first time; 0: never */
    uint32_t settle_waits;                /* requests that wait for the outcome */
    struct ss_prepared prepared;
    enum ss_finding refused_as;    /* and what that is, should it be the last word */
    int refused;                   /* positive errno of the last preparation, when it failed: close() has returned it */
    uint64_t refused_changes;      /* changes at that time */
    time_t failed_at;              /* CLOCK_MONOTONIC seconds, while INTERRUPTED */
    bool was_partial;              /* its own mark said so once: a later "done" is a commitment */
    bool committed;                /* the record on disk says PREPARED */
    struct ss_draft_record record; /* as on disk */
};

struct ss_save *ss_save_at(struct ss_fs *fs, uint32_t index);

/* Is the record that save still? */
bool ss_save_is(struct ss_fs *fs, uint32_t index, uint64_t serial);

/* Where is the other one that is being renamed over this one? */
enum ss_superseding {
    SS_SUPERSEDING_NOT,  /* there is none, or its rename is yet to be done */
    SS_SUPERSEDING_HERE, /* it has this one's place */
    SS_SUPERSEDING_GONE, /* its end is known, but not its name */
};
enum ss_superseding ss_save_superseding(struct ss_fs *fs, struct ss_save *save);

/* The saves of a name, newest first; SS_NONE: there are no more. With tables held. */
uint32_t ss_save_first_at(struct ss_fs *fs, uint32_t dir, const char *name);
uint32_t ss_save_next_at(struct ss_fs *fs, uint32_t index); /* of the same name */

/* Grows with each save that is begun, shown, renamed or ended: see ss_save_begin. */
uint64_t ss_save_serial(struct ss_fs *fs);

/* Begins a save of name in directory node dir for the process of tid (or gives the one that another of its threads has
 * just announced), linked under its name, with one reference for the caller. base is the image to edit, open for
 * reading, or -1; taken over also on error. since: ss_save_serial before the caller found that his family has none; if
 * one of that name was begun, shown, renamed or ended since, nothing is begun. Returns 0, -EAGAIN (that), -ENFILE,
 * -ENOMEM. */
int ss_save_begin(struct ss_fs *fs, pid_t tid, uint32_t dir, const char *name, int base, bool exclusive, uint64_t since,
                  uint32_t *index);

/* The save of name that thread tid may see (the newest), with a reference, or SS_NONE. Reads /proc. */
uint32_t ss_save_find(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid);

/* The same, but not the save `besides`. */
uint32_t ss_save_find_besides(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid, uint32_t besides);
/* A save of name that settles since `before` (CLOCK_MONOTONIC nanoseconds) or longer, with a reference, or SS_NONE. */
uint32_t ss_save_find_settling(struct ss_fs *fs, uint32_t dir, const char *name, uint64_t before);

/* Is there a save of name, whoever may see it? Takes tables. */
bool ss_save_is_at(struct ss_fs *fs, uint32_t dir, const char *name);

bool ss_save_visible_to(struct ss_fs *fs, struct ss_save *save, pid_t tid);

/* References. unref is called with tables held, release takes them. */
void ss_save_ref(struct ss_fs *fs, uint32_t index);
void ss_save_unref(struct ss_fs *fs, uint32_t index);
void ss_save_release(struct ss_fs *fs, uint32_t index);

/* Takes the save off its name: nobody finds it any more. Takes the tables lock. Idempotent. */
void ss_save_unlink(struct ss_fs *fs, uint32_t index);

/* Its place at this moment, with tables held. */
static inline const struct ss_place *ss_save_where(const struct ss_save *save)
{
    return &save->places[save->place];
}

/* With state held: the failed writes. */
static inline const struct ss_failures *ss_save_failures(const struct ss_save *save)
{
    return &save->failures[save->failing];
}

/* Gives it another name. Claimed by the caller. Takes the tables lock. */
void ss_save_relink(struct ss_fs *fs, uint32_t index, uint32_t dir, const char *name);

/* Expects the open of thread tid, which is being redirected. The save is claimed by the caller and not over. */
void ss_save_expect(struct ss_fs *fs, struct ss_save *save, pid_t tid);

/* tid has opened the save `index`: other saves of the name need not expect it any more. */
void ss_save_withdraw(struct ss_fs *fs, uint32_t index, pid_t tid);

/* Calls visit for every descriptor that the save owns. */
void ss_save_each_fd(const struct ss_save *save, void (*visit)(void *context, int fd), void *context);

/* With tables held, in a new process: which records are free, who is called what, how many handles each has. Locks are
 * new. References are not counted. */
void ss_save_rebuild(struct ss_fs *fs);

/* Seconds since its verdict went against it, -1 when it has not. */
time_t ss_save_failed_for(struct ss_save *save);

/* Its draft has the public name. */
bool ss_save_is_published(struct ss_save *save);

/* With state held: tid's open has come (0: nobody's will come any more). */
void ss_save_expected_came(struct ss_save *save, pid_t tid);

/* With state held: nobody has it open for writing, or is on his way. */
bool ss_save_is_idle(const struct ss_save *save);

/* Waits until nobody changes what the save is, then does. */
void ss_save_claim(struct ss_save *save);
void ss_save_yield(struct ss_save *save);

/* The descriptor that shows the save's content now: the draft, else the base. */
int ss_save_data(struct ss_save *save);

/* Names of directory and target at this moment, for whoever claimed it. The directory's O_PATH descriptor is returned.
 */
int ss_save_place(struct ss_fs *fs, struct ss_save *save, char target[NAME_MAX + 1]);

/* The session has ended: what the saves that are left remember (ahead.h) is given back. No other thread is left. */
void ss_save_forget_digests(struct ss_fs *fs);

/* The first save at or behind index that has a name, with a reference, or SS_NONE. */
uint32_t ss_save_next(struct ss_fs *fs, uint32_t index);

#endif
