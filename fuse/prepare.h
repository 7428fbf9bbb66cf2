/* The slow part of the last close, done while close() waits: the data made durable, the digests taken at the same time,
 * the seal written. */
#ifndef SAVESEAL_FUSE_PREPARE_H
#define SAVESEAL_FUSE_PREPARE_H

#include "save.h"

/* Prepares the save for publication as it is now; cheap when nothing changed since the last time. The save has a draft.
 * Takes save->preparing. Returns 0, also when the format says that more is to come; -errno when it can not be made
 * durable or sealed. */
int ss_prepare(struct ss_fs *fs, struct ss_save *save);

#endif
