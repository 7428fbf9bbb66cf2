/* What the kernel is told without being asked; see also trim.h. Waits for no lock of the kernel's. Thread-safe. */
#ifndef SAVESEAL_FUSE_NOTIFY_H
#define SAVESEAL_FUSE_NOTIFY_H

#include "fs.h"

/* Whatever the kernel remembers of the attributes of node id holds no more. */
void ss_notify_attributes(struct ss_fs *fs, uint64_t id);

#endif
