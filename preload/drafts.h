/* The drafts that this process knows, and which of its descriptors are theirs.
 *
 * One lock guards all of it, held for a moment only; ss_drafts_lock is for fork. A draft's own lock, judging, is held
 * while it is judged and is taken first. What a descriptor is can be asked without a lock: a program that closes a
 * descriptor in one thread and uses it in another has lost already.
 *
 * A child of fork has a copy of the table; the kernel knows whether a draft is still what the copy says. */
#ifndef SAVESEAL_PRELOAD_DRAFTS_H
#define SAVESEAL_PRELOAD_DRAFTS_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/draft.h"
#include "core/stamp.h"

#define SS_FDS_MAX (1 << 20) /* a descriptor beyond is never a draft's */
#define SS_DRAFTS_MAX 4096

struct ss_held {
    pthread_mutex_t judging;

    /* fixed while it is in the table */
    int dir;     /* hidden; O_PATH where it may not be read */
    int witness; /* O_RDONLY, hidden: open since the draft was made, so that it hears of every write-back error */
    char name[SS_DRAFT_NAME_SIZE];
    dev_t dev;
    ino_t ino;
    bool at_exit; /* it is not judged before the end of the process owner, which was given it, or is to be so */
    pid_t owner;

    /* guarded by the table's lock */
    int judging_fd; /* hidden; while it is judged, else -1: a child of fork must not keep it */
    bool in_use;
    uint32_t uses;          /* threads that have it in hand */
    _Atomic uint32_t fds;   /* descriptors of this process that are its; also read without the lock */
    bool has_heirs;         /* a child may have been given a descriptor; and then: */
    struct ss_stamp forked; /* its content at the last fork, or when it was inherited */
    char target[PATH_MAX];  /* canonical public name */

    /* guarded by judging; what is atomic may be asked without it, and is asked again under it before anything is done
     */
    struct ss_draft_record record; /* as on disk when last looked */
    _Atomic bool over;             /* published, dropped, or found to be somebody else's business */
    bool copied;                   /* it began as a copy of the image: a save that changes nothing is none; and then: */
    struct ss_stamp copied_at;     /* after that, a time that nothing later can give it (stamp_copy in begin.c) */
    bool ended_badly;              /* it is kept, because a process that wrote to it ended so */
    bool was_partial;              /* its format's own mark said "partial" at a last close */
    _Atomic bool postponed;  /* every descriptor of this process is closed, and it is judged when the process ends */
    _Atomic bool unjudged;   /* the last close could not be judged, and may have said so */
    _Atomic bool mapped;     /* when it was closed, this process still had it mapped shared */
    _Atomic bool left;       /* closed here, when others still had it open; and then: */
    struct ss_stamp left_at; /* its content */
    int failed;              /* what is known to have failed, positive errno */
};

/* 0 or -errno. */
int ss_drafts_init(void);

void ss_drafts_lock(void);
void ss_drafts_unlock(void);

/* Before fork, with the lock held: what an heir writes is to be told from what was there. */
void ss_drafts_before_fork(void);

/* Is there perhaps a child that has just been forked, and still has copies of what it will lose by exec? */
bool ss_drafts_forked_lately(void);

/* In a child of fork, with the lock held: threads that are not there any more hold nothing. */
void ss_drafts_in_child(void);

/* Does the process know any draft? A hint: cheap, and right for what the calling thread did itself. */
bool ss_drafts_any(void);

extern _Atomic uint16_t *ss_fd_map; /* of SS_FDS_MAX; 0: not ours. Written with the table's lock, read by all */
#define SS_FD_HIDDEN UINT16_MAX

static inline bool ss_fd_is_ours(int fd)
{
    return fd >= 0 && fd < SS_FDS_MAX && ss_fd_map && atomic_load_explicit(&ss_fd_map[fd], memory_order_relaxed) != 0;
}

static inline bool ss_fd_is_hidden(int fd)
{
    return ss_fd_is_ours(fd) && ss_fd_map[fd] == SS_FD_HIDDEN;
}

/* Adds a draft; dir and witness, both hidden, are the table's from then on. copied: it is a mere copy of the image as
 * long as it has that stamp; may be NULL. In hand of the caller: ss_drafts_put. NULL when the table is full. */
struct ss_held *ss_drafts_add(int dir, int witness, const char *name, const char *target,
                              const struct ss_draft_record *record, const struct ss_stamp *copied);

/* It is being judged by that descriptor, which is hidden from now on; -1: no longer. */
void ss_drafts_judging(struct ss_held *held, int fd);

/* Gives a hidden descriptor another number: a program wants this one. 0, -EBUSY while something is judged by it, or
 * -errno. */
int ss_drafts_move(int fd);

/* Has the draft been written to since the last fork (in the child: its own)? */
bool ss_drafts_changed_since_fork(struct ss_held *held);

/* The draft that this process has under a public (canonical) name, or NULL. In hand. */
struct ss_held *ss_drafts_find(const char *target);

/* The draft with that file name (".saveseal.ID") in whatever directory, or NULL. In hand. */
struct ss_held *ss_drafts_find_named(const char *name);

/* The draft that a descriptor is of, or NULL; looks at the file, and forgets the descriptor when it is another's by
 * now. In hand. */
struct ss_held *ss_drafts_of_fd(int fd);

/* The same of a descriptor that is about to be closed: it is the draft's no longer. In hand. */
struct ss_held *ss_drafts_part(int fd);

/* Any draft after that index. *index begins with 0. In hand. */
struct ss_held *ss_drafts_next(uint32_t *index);

/* Gives it back. One that is over and has no descriptor leaves the table. */
void ss_drafts_put(struct ss_held *held);

/* SAVESEAL_COMMIT=exit: whatever is saved is judged when its process ends. */
void ss_drafts_commit_at_exit(void);

/* A descriptor of the draft is about to go to another process. */
void ss_drafts_send(int fd);

/* The draft of a descriptor that is another file's by now, or closed: forgets the descriptor. NULL when it is the
 * draft's. In hand. */
struct ss_held *ss_drafts_take_stale(int fd);

/* A descriptor becomes one of the draft's, or ceases to be one. bind: -EMFILE when its number is too high. */
int ss_drafts_bind(struct ss_held *held, int fd);
void ss_drafts_unbind(int fd);

/* The lowest descriptor in [first, last] that is ours, or -1. */
int ss_fd_next(unsigned first, unsigned last);

void ss_drafts_rename(struct ss_held *held, const char *target);
void ss_drafts_target(struct ss_held *held, char target[PATH_MAX]);

/* Takes over what an earlier program of this process left open: after exec. Returns the descriptor of what it handed on
 * (handover.h), or -1. */
#define SS_HANDOVER_NAME "saveseal.handover"
int ss_drafts_inherit(void);

/* Takes over a draft that an earlier program had open, with its witness. In hand; NULL when it is none any more, and
 * the descriptor is the caller's still. */
struct ss_held *ss_drafts_adopt(int witness);

/* If the descriptor is of a draft that this process does not know yet, makes it known. */
void ss_drafts_recognise(int fd);

#define SS_AUTO_PUT __attribute__((cleanup(ss_drafts_cleanup)))
static inline void ss_drafts_cleanup(struct ss_held **held)
{
    if (*held)
        ss_drafts_put(*held);
}

#endif
