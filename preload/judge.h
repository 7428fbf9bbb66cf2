/* What becomes of a draft: the last close, the end of the process, the end of a child. */
#ifndef SAVESEAL_PRELOAD_JUDGE_H
#define SAVESEAL_PRELOAD_JUDGE_H

#include "drafts.h"

/* May there be a draft that this process closed when others still had it open? */
extern _Atomic bool ss_judge_any_left;

/* SAVESEAL_FORMAT=libvirt: what has no mark of its own that it is complete is not published. Before there is a draft.
 */
void ss_judge_need_mark(void);

/* A descriptor of the draft was closed, by a call that returned error (0 or -errno). If it was the last one for writing
 * of all processes, judges the draft and publishes it. Returns what close() has to say: 0 or -errno. */
int ss_judge_closed(struct ss_held *held, int error);

/* The same for a draft that is judged when this process ends: error is remembered until then. */
void ss_judge_postpone(struct ss_held *held, int error);

/* Something that was to be written is lost: error (-errno). The draft will not be published. */
void ss_judge_failed(struct ss_held *held, int error);

/* The owner gives it up: the draft is deleted. 0 or -errno. */
int ss_judge_drop(struct ss_held *held);

/* The save is to have another name, in the same directory; with exclusive it must not replace one. 0 or -errno. */
int ss_judge_rename(struct ss_held *held, const char *name, const char *canonical, bool exclusive);

/* It was cut to nothing: what is written from now on has nothing to do with the image that it began as a copy of. */
void ss_judge_begins_anew(struct ss_held *held);

/* A draft that this process closed, but not as the last one: looks whether it is by now, and judges it when nobody has
 * written since. Returns -EAGAIN when somebody still has it, 0 when there is nothing to wait for, or what close() would
 * have had to say. */
int ss_judge_left(struct ss_held *held);

/* This process ends with a status other than 0 and has closed its descriptors: the draft is kept if it made it or wrote
 * to it, or was the last to have it. */
void ss_judge_exited(struct ss_held *held, int status);

/* A child has ended, with that status of wait(2): it may have written to the draft, or have been the last to have it.
 */
void ss_judge_child_ended(struct ss_held *held, int status);

#endif
