/* Requests in hand: what a worker was doing when it died.
 *
 * Every serving thread has a slot in shared memory, its requests are read straight into the slot's buffer, and the slot
 * notes how far the request has come. When the worker dies, the kernel sends all requests again that had no answer
 * (FUSE_NOTIFY_RESEND), under the same number. The successor then finds the slot of that number and knows: had the
 * answer been formed, it is sent as it stands; had the request taken something (a lookup, a handle, a new save), that
 * is given back first; had it begun what must not be done twice, its operation sees that and looks whether it is done.
 *
 * A slot belongs to one thread, its fields need no lock. Adopted ones belong to nobody: they are claimed and settled
 * under the receive lock (see adopt.h). */
#ifndef SAVESEAL_FUSE_SLOT_H
#define SAVESEAL_FUSE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SS_SLOTS_MAX 512u
#define SS_SLOT_THREADS_MAX 256u                       /* of those, used by threads at one time */
#define SS_SLOT_REPLY_MAX 512u                         /* longer answers are those of requests that may be done twice */
#define SS_SLOT_BUFFER_SIZE (((size_t)256 + 1) * 4096) /* the largest request: 256 pages and a header */
#define SS_SLOT_NO_HANDLE UINT64_MAX
#define SS_RESENT (UINT64_C(1) << 63) /* in a request's number: it was sent before */

struct ss_fs;
struct fuse_in_header;

enum ss_slot_state {
    SS_SLOT_FREE,
    SS_SLOT_THREAD,  /* a thread's, with or without a request */
    SS_SLOT_ADOPTED, /* of a worker that died: its request is unanswered, or nobody knows */
};

struct ss_slot {
    _Atomic enum ss_slot_state state;
    _Atomic bool inherited; /* its notes are those of an adopted slot, which is done with */
    uint32_t faults;        /* workers that died by their own fault with it in hand */
    uint32_t forgotten;     /* FORGET: how many of its entries are done */

    /* What it has taken and the kernel may not know of; SS_NONE: nothing. Noted right after it was taken. */
    uint32_t node;        /* a lookup was counted for it */
    uint64_t handle;      /* opened: its fh, SS_SLOT_NO_HANDLE none */
    uint32_t save;        /* CREATE: begun; UNLINK, RENAME: acted on */
    uint64_t save_serial; /* of that one, so that it is not taken for a later one in the same record */

    _Atomic bool begun; /* what must not be done twice was found to be possible, and may be done since */
    bool both;          /* to a draft, and then to the image of that name */
    _Atomic int pin;    /* descriptor of what it is done to, so that its inode number is not used again; -1 none */

    _Atomic bool answered;         /* the answer has gone out; what follows is in the other tables */
    _Atomic uint32_t reply_len;    /* the answer was formed; 0 not yet */
    char reply[SS_SLOT_REPLY_MAX]; /* with its header */
};

/* The calling thread's slot, NULL when it has none. */
struct ss_slot *ss_slot_mine(void);

/* The number of the calling thread's request, the same when it is sent again; 0: it has none. */
uint64_t ss_slot_request_number(void);

/* Takes a free slot for the calling thread and gives it back. begin returns 0 or -ENFILE. */
int ss_slot_begin(struct ss_fs *fs);
void ss_slot_end(struct ss_fs *fs);

struct ss_slot *ss_slot_at(struct ss_fs *fs, uint32_t index);

/* Where the slot's requests are read into, SS_SLOT_BUFFER_SIZE bytes. Its header's length is 0 between two requests. */
struct fuse_in_header *ss_slot_request(struct ss_fs *fs, const struct ss_slot *slot);

/* The request is done with: the slot is as new. */
void ss_slot_clear(struct ss_fs *fs, struct ss_slot *slot);

/* An answer goes out: remembers it, if it is one to the calling thread's request, and returns whether it is. */
bool ss_slot_note_reply(const struct iovec *iov, int count);
void ss_slot_note_answered(void);

/* Notes of the calling thread's request; nothing happens in a thread that has no slot. */
void ss_slot_note_node(uint32_t node); /* a lookup was counted */
void ss_slot_note_handle(uint64_t fh); /* is about to be opened */
void ss_slot_note_save(uint32_t save, uint64_t serial);
void ss_slot_note_forgotten(void);     /* one more entry of a FORGET is done */
void ss_slot_drop_node(uint32_t node); /* is about to be given back, if it is that one */
void ss_slot_drop_handle(uint64_t fh);

/* What must not be done twice is about to be done. fd: a descriptor of what it is done to (O_PATH will do; the slot
 * closes it) or -1. The second: to that save's draft; both: and then to the image of its name. */
void ss_slot_note_begun(int fd);
void ss_slot_note_begun_to_save(int fd, uint32_t save, uint64_t serial, bool both);

/* Had a worker that died begun this request already? *pin: what it was being done to, -1 nothing (not the caller's to
 * close; good until ss_slot_note_begun). */
bool ss_slot_was_begun(int *pin);

/* The save that it was being done to, SS_NONE: not to a draft, or that save is gone. *to_save: it was to a draft. */
uint32_t ss_slot_was_begun_to(struct ss_fs *fs, bool *to_save);
bool ss_slot_was_for_both(void);

#endif
