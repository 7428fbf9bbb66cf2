#include "notify.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 6.16, include/uapi/linux/fuse.h; older headers lack it. */
#define NOTIFY_INC_EPOCH 8
#define EPOCH_MINOR 44 /* of the protocol 7 */

void ss_notify_attributes(struct ss_fs *fs, uint64_t id)
{
    struct fuse_notify_inval_inode_out inode = {.ino = id, .off = -1}; /* no pages */
    struct fuse_out_header header = {.len = sizeof header + sizeof inode, .error = FUSE_NOTIFY_INVAL_INODE};
    struct iovec iov[] = {{&header, sizeof header}, {&inode, sizeof inode}};

    ssize_t n = writev(fs->shared->session, iov, 2);
    (void)n; /* it may remember none, or be gone */
}

void ss_notify_names(struct ss_fs *fs)
{
    struct fuse_out_header header = {.len = sizeof header, .error = NOTIFY_INC_EPOCH};

    ssize_t n = write(fs->shared->session, &header, sizeof header);
    (void)n;
}

bool ss_notify_knows_names(const struct ss_fs *fs)
{
    const struct fuse_init_in *init = (const void *)(fs->shared->init + sizeof(struct fuse_in_header));

    return fs->shared->init_len > sizeof(struct fuse_in_header) && init->major == 7 && init->minor >= EPOCH_MINOR;
}
