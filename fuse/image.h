/* Images as the backing directory has them: opening one, and checking its header against its seal. */
#ifndef SAVESEAL_FUSE_IMAGE_H
#define SAVESEAL_FUSE_IMAGE_H

#include "fs.h"

/* Opens the pinned inode of an image node for reading, whatever name it has by now. Returns the descriptor or -errno.
 */
int ss_image_open(const struct ss_node *node);

/* Checks the header of an image that is open as fd. Remembered per node, as long as the file's ctime and size stay, so
 * that it costs once. Returns 0 when it agrees or has no seal; -EIO when it does not, with the reason in *finding and
 * in the log; else the -errno of a read. finding may be NULL. Takes the tables lock for a moment. */
int ss_image_check(struct ss_fs *fs, struct ss_node *node, int fd, enum ss_finding *finding);

/* Removes the name of an image from dir. One that fails its header check is not deleted but set aside as a hidden
 * draft, because there are programs that delete what they can not open. Returns 0 or -errno. */
int ss_image_unlink(int dir, const char *name);

#endif
