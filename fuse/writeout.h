/* Having the disk begin early: drafts are synced while they are written, each time that a good deal was added, and
 * digested meanwhile. A disk stands idle while a program writes to memory, and is asked for everything when it closes;
 * a save so takes as long as the slower of the two, not as both together. One thread does it for all.
 *
 * What the kernel writes by itself (-o format=libvirt) is not seen: there the thread looks now and then how far the
 * drafts have grown. */
#ifndef SAVESEAL_FUSE_WRITEOUT_H
#define SAVESEAL_FUSE_WRITEOUT_H

#include "fs.h"
#include "save.h"

/* Starts the thread. Returns 0 or -errno. */
int ss_writeout_start(struct ss_fs *fs);

/* Idempotent. A sync that is in hand is waited for. Both only from the main thread. */
void ss_writeout_stop(struct ss_fs *fs);

/* So many bytes more were written to the save's draft. */
void ss_writeout_written(struct ss_fs *fs, struct ss_save *save, size_t size);

/* A draft that the kernel writes by itself was opened. */
void ss_writeout_notice(struct ss_fs *fs);

#endif
