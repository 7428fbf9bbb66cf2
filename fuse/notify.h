/* What the kernel is told without being asked. None of these waits for a lock of the kernel's. Thread-safe. */
#ifndef SAVESEAL_FUSE_NOTIFY_H
#define SAVESEAL_FUSE_NOTIFY_H

#include "fs.h"

/* Whatever the kernel remembers of the attributes of node id holds no more. */
void ss_notify_attributes(struct ss_fs *fs, uint64_t id);

/* Every name that was looked up before has to be looked up again (Linux 6.16). */
void ss_notify_names(struct ss_fs *fs);

/* Can the kernel be told that? As its INIT says. */
bool ss_notify_knows_names(const struct ss_fs *fs);

#endif
