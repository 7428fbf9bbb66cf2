/* Our attributes on files that their owner may have made read-only: a user attribute needs write permission to the
 * inode, not to the descriptor, which a daemon without privileges lacks on a file of mode 0444. The owner is let in for
 * the moment of the call. */
#ifndef SAVESEAL_CORE_XATTR_H
#define SAVESEAL_CORE_XATTR_H

#include <stddef.h>

/* Return 0 or -errno. Removing what is not there is no error. Thread-safe. */
int ss_xattr_set(int fd, const char *name, const void *value, size_t size);
int ss_xattr_remove(int fd, const char *name);

/* Opens name in dir O_RDWR (and close-on-exec, not following a symbolic link, not waiting for a fifo), in the same way.
 * Returns the descriptor or -errno. */
int ss_open_writable(int dir, const char *name);

#endif
