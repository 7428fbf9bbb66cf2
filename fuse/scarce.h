/* What there is no more of when an open is refused with ENFILE or EMFILE: told to the log, once a minute at most, with
 * what to do about it. Thread-safe. */
#ifndef SAVESEAL_FUSE_SCARCE_H
#define SAVESEAL_FUSE_SCARCE_H

#include "fs.h"

/* So many saves there may be at a time: one that could begin but not end, for want of descriptors, would be kept as a
 * draft though all of it was written. */
uint32_t ss_scarce_saves_max(const struct ss_fs *fs);

/* A request is answered with error (-errno). Called without tables; does nothing for any other error. */
void ss_scarce_tell(struct ss_fs *fs, int error);

#endif
