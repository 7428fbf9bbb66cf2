/* Keeping the number of descriptors in bounds. Each node that the kernel remembers pins a file by a descriptor, and the
 * kernel forgets a name only when it runs short of memory. So idle ones are taken from it: nodes of finished saves
 * always (they keep a replaced version's disk space, too), images once descriptors get scarce. */
#ifndef SAVESEAL_FUSE_TRIM_H
#define SAVESEAL_FUSE_TRIM_H

#include "fs.h"

/* With tables held: the tables changed; asks for a trim when it is time. */
void ss_trim_notice(struct ss_fs *fs);

/* True once after a trim was asked for. */
bool ss_trim_wanted(struct ss_fs *fs);

/* The process that the last trim left to itself has ended: is there more to tell? Only from the main thread. */
bool ss_trim_goes_on(void);

/* Has the kernel told to forget, in a process that is left to itself. Only from the main thread. */
void ss_trim(struct ss_fs *fs);

#endif
