/* The settle rule (docs/design.md): a program that catches an error closes its half file as well as a whole one, and
 * only then says that it failed, by its exit status. So after a clean last close a save of a format without a mark of
 * its own settles: until its parties (party.h) have ended well, or live on when the grace time is over. Others who look
 * at its name meanwhile wait for the outcome; its family does not. Whoever lists the directory waits.
 *
 * One thread decides, for all saves, so that no serving thread is needed; another does what is slow. All they know is
 * in the saves' records, and in the list of those that settle (fs.settling), which can be made again from them. */
#ifndef SAVESEAL_FUSE_SETTLE_H
#define SAVESEAL_FUSE_SETTLE_H

#include "save.h"

/* Starts the threads, after taking up what the records say. Returns 0 or -errno. */
int ss_settle_start(struct ss_fs *fs);

/* Ends the threads. What settles then, or begins to, is left to ss_settle_finish. */
void ss_settle_stop(struct ss_fs *fs);

/* Decides every save that settles by what is known in a moment: who lives is believed. Called when no thread serves. */
void ss_settle_finish(struct ss_fs *fs);

/* Its last close was clean and its preparation is current. Returns false when there is nothing to wait for (any more):
 * it is to be published. Claimed by the caller; quick, called under the receive lock. */
bool ss_settle_begin(struct ss_fs *fs, uint32_t index);

/* It is about to be continued by its family. That puts its end off, so it is decided now when somebody waits for it, or
 * when it has been put off for long. Nothing claimed; reads /proc. */
void ss_settle_before_reopen(struct ss_fs *fs, uint32_t index);

/* It is continued or dropped: nothing is to be decided now. Claimed by the caller. */
void ss_settle_cancel(struct ss_fs *fs, uint32_t index);

/* Its verdict has been carried out: whoever waited goes on. Does nothing unless it was decided. Claimed by the caller.
 */
void ss_settle_end(struct ss_fs *fs, uint32_t index);

/* Waiting, for requests. All return 0 when nothing of the kind settles (any more) that had begun before the call, or
 * -EINTR when the request was interrupted and has waited for a second. Called without locks, nothing claimed. With
 * commit=exit nobody waits for who lives.
 *
 * name: for what thread tid does not see as its own (0: for all). dir: for everything in a directory. save: for one,
 * also by its family. */
int ss_settle_wait_name(struct ss_fs *fs, fuse_req_t req, uint32_t dir, const char *name, pid_t tid);
int ss_settle_wait_dir(struct ss_fs *fs, fuse_req_t req, uint32_t dir);
int ss_settle_wait_save(struct ss_fs *fs, fuse_req_t req, uint32_t index);

#endif
