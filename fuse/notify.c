#include "notify.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

void ss_notify_attributes(struct ss_fs *fs, uint64_t id)
{
    struct fuse_notify_inval_inode_out inode = {.ino = id, .off = -1}; /* no pages */
    struct fuse_out_header header = {.len = sizeof header + sizeof inode, .error = FUSE_NOTIFY_INVAL_INODE};
    struct iovec iov[] = {{&header, sizeof header}, {&inode, sizeof inode}};

    ssize_t n = writev(fs->shared->session, iov, 2);
    (void)n; /* it may remember none, or be gone */
}
