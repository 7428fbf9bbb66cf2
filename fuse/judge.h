/* The verdict: watches how a save's descriptors are closed, prepares it while the last close() waits, and at the end
 * publishes the draft or keeps it with its reason. See docs/design.md, "From close to seal". */
#ifndef SAVESEAL_FUSE_JUDGE_H
#define SAVESEAL_FUSE_JUDGE_H

#include "save.h"

/* One more handle on the save. For writing it may have to be continued first: -ESTALE when it can not be (published,
 * dropped, taken away by a tool, or truncated after its writer died): the name then needs a new save. Claims the save.
 */
int ss_judge_open(struct ss_fs *fs, uint32_t index, pid_t tid, bool writes, bool truncates);

/* A further open for writing, by thread tid, is on its way to the save: it is expected from now on. A save that was
 * interrupted by failed writes is taken up again; false when it is over, spoilt for good or taken away: its name then
 * needs a new save. Claims the save. */
bool ss_judge_join(struct ss_fs *fs, uint32_t index, pid_t tid);

/* FLUSH: thread tid closes a descriptor of handle. Returns what close() is to return, 0 or -errno, or 1 when it is the
 * last one, all is well so far, and ss_rival_decide has the rest. Blocks as long as the disk needs. */
int ss_judge_flush(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid);

/* RELEASE: the handle is gone. Publishes or keeps the draft when it was the last one for writing. Called under the
 * receive lock: what would take long goes to the list of deferred work. */
void ss_judge_release(struct ss_fs *fs, uint32_t index, struct ss_handle *handle);

/* What settled is decided. Claimed by the caller, given back. */
void ss_judge_settled(struct ss_fs *fs, uint32_t index);

/* Does one piece of deferred work, if any. Called without locks. Returns whether there was one. */
bool ss_judge_deferred(struct ss_fs *fs);

/* The family unlinks the name. 0: the draft is dropped; 1: nothing had been changed, so that the image itself is meant;
 * 2: the draft is dropped, and as its writer had closed it well the image is meant, too; -ESTALE: the save is over
 * already; else -errno. Claims the save. */
int ss_judge_drop(struct ss_fs *fs, uint32_t index);
int ss_judge_drop_claimed(struct ss_fs *fs, uint32_t index); /* by the caller */

/* The last open for writing is over otherwise than by RELEASE. Claimed by the caller; may take long. */
void ss_judge_conclude(struct ss_fs *fs, uint32_t index);

/* In a new worker: settles what the old one had begun to do to the save. Referenced by the caller. Before there are
 * threads. */
void ss_judge_adopt(struct ss_fs *fs, uint32_t index);

/* The handle is given up without a verdict: its open never got through, and comes again. */
void ss_judge_forget_handle(struct ss_fs *fs, uint32_t index, struct ss_handle *handle);

/* Nothing ever was in it: removes the draft. */
void ss_judge_forget(struct ss_fs *fs, uint32_t index);

/* A change of the save, or its close, was answered with an error because a worker died. */
void ss_judge_lost_request(struct ss_save *save);

/* Nobody is left to continue a closed save. Claimed by the caller, no handle is open. */
void ss_judge_abandon(struct ss_fs *fs, uint32_t index);

#endif
