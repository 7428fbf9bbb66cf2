/* A new worker takes over from one that died: repairs the tables, then meets the requests that were in hand.
 *
 * What the tables mean is in the records alone, and each record changes in single stores; everything derived is made
 * anew. So whatever instruction the old worker died at, the new one finds each record either before or after a change.
 * See docs/design.md, "A worker that dies". */
#ifndef SAVESEAL_FUSE_ADOPT_H
#define SAVESEAL_FUSE_ADOPT_H

#include "fs.h"

/* Repairs the tables, settles what the old worker had half done to saves, closes what it left open. Before there are
 * threads. */
void ss_adopt(struct ss_fs *fs);

/* Requests that were in hand will not come again: ends each with the answer that was formed, or with EIO. Before there
 * are threads. */
void ss_adopt_refuse_all(struct ss_fs *fs);

enum ss_claim {
    SS_CLAIM_HANDLE, /* handle it, for the first time or again */
    SS_CLAIM_ANSWER, /* the answer in the slot goes out as it stands */
    SS_CLAIM_REFUSE, /* it has killed workers: EIO */
};

/* A request was read into slot. Claims what the old worker noted about it and gives back what it had taken; or, when it
 * is the first one that is new, settles the requests that did not come again. Under the receive lock. */
enum ss_claim ss_adopt_claim(struct ss_fs *fs, struct ss_slot *slot);

/* Ends slot's request with EIO (or the answer that was formed), and what it would have changed with a verdict. */
void ss_adopt_refuse(struct ss_fs *fs, struct ss_slot *slot);

/* The answer to slot's request found nobody: gives back what it had taken for the kernel. */
void ss_adopt_unanswerable(struct ss_fs *fs, struct ss_slot *slot);

#endif
