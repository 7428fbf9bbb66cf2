/* The backing directory at start: is it fit to be one, and what did the last run leave behind. */
#ifndef SAVESEAL_FUSE_BACKING_H
#define SAVESEAL_FUSE_BACKING_H

#include <stdbool.h>

/* Opens it (O_PATH) and tries whether it keeps user xattrs, unless it is only to be read. Returns the descriptor, or
 * -errno after a message on standard error that names the cure. */
int ss_backing_open(const char *path, bool read_only);

/* Goes through the tree and settles every draft that nobody holds any more: publishes those that were committed and
 * lack only the rename, gives the others their reason. What can not be settled is logged and left. */
void ss_backing_recover(int root);

#endif
