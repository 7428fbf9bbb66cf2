/* Having the disk begin early with what the kernel writes by itself (-o format=libvirt), so that less is left to do
 * while close() waits. Such writes are not seen, so a thread looks now and then how far the drafts have grown. What
 * goes through us is handed to the disk where it is written (content.c). */
#ifndef SAVESEAL_FUSE_WRITEOUT_H
#define SAVESEAL_FUSE_WRITEOUT_H

#include "fs.h"

/* Starts the thread, where the options make it useful. Returns 0 or -errno. */
int ss_writeout_start(struct ss_fs *fs);

void ss_writeout_stop(struct ss_fs *fs);

/* A draft that the kernel writes by itself was opened: there is something to look at. */
void ss_writeout_notice(struct ss_fs *fs);

#endif
