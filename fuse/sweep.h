/* Dropping saves that nobody can continue. */
#ifndef SAVESEAL_FUSE_SWEEP_H
#define SAVESEAL_FUSE_SWEEP_H

#include "fs.h"

/* Drops those that were announced and never opened, and closed ones whose creator has ended. Called now and then, by
 * the main thread. */
void ss_sweep(struct ss_fs *fs);

#endif
