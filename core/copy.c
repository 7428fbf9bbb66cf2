#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "draft.h"
#include "util.h"

#define CHUNK ((size_t)1 << 20)

/* Copies [off, end) through memory. */
static int copy_by_hand(int from, int to, off_t off, off_t end)
{
    SS_AUTO_FREE char *buf = malloc(CHUNK);
    if (!buf)
        return -ENOMEM;
    while (off < end) {
        size_t want = (size_t)(end - off) < CHUNK ? (size_t)(end - off) : CHUNK, done;
        ssize_t n = ss_pread_full(from, buf, want, off);
        if (n <= 0)
            return (int)n;
        int r = ss_pwrite_full(to, buf, (size_t)n, off, &done);
        if (r < 0)
            return r;
        off += n;
    }
    return 0;
}

/* Copies [off, end), in the kernel as far as it can. */
static int copy_extent(int from, int to, off_t off, off_t end)
{
    off_t in = off, out = off;

    while (in < end) {
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
        if (n > 0)
            continue;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
            return -errno;
        return copy_by_hand(from, to, in, end);
    }
    return 0;
}

int ss_copy_data(int from, int to, uint64_t size)
{
    struct stat st;
    off_t end = (off_t)size, off = 0;

    if (fstat(from, &st) < 0)
        return -errno;
    if (size == (uint64_t)st.st_size && ioctl(to, FICLONE, from) == 0)
        return 0;
    while (off < end) {
        off_t data = lseek(from, off, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        if (data < 0)
            data = off; /* the file system does not know holes */
        if (data >= end)
            break;
        off_t hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0 || hole > end)
            hole = end;
        int r = copy_extent(from, to, data, hole);
        if (r < 0)
            return r;
        off = hole;
    }
    return ftruncate(to, end) < 0 ? -errno : 0;
}

/* An attribute that the new place or the caller's privilege does not allow is not worth a failed save. */
static bool may_be_refused(int error)
{
    return error == EPERM || error == EACCES || error == ENOTSUP || error == EINVAL;
}

static int copy_xattr(int from, int to, const char *name)
{
    for (int tries = 0; tries < 3; tries++) { /* it may grow between the two calls */
        ssize_t size = fgetxattr(from, name, NULL, 0);
        if (size < 0)
            return errno == ENODATA || may_be_refused(errno) ? 0 : -errno;
        SS_AUTO_FREE char *value = malloc((size_t)size + 1);
        if (!value)
            return -ENOMEM;
        size = fgetxattr(from, name, value, (size_t)size);
        if (size < 0 && errno == ERANGE)
            continue;
        if (size < 0)
            return errno == ENODATA ? 0 : -errno;
        if (fsetxattr(to, name, value, (size_t)size, 0) == 0 || may_be_refused(errno))
            return 0;
        return -errno;
    }
    return -EAGAIN;
}

static int copy_xattrs(int from, int to)
{
    ssize_t size = flistxattr(from, NULL, 0);
    if (size <= 0)
        return size == 0 || errno == ENOTSUP ? 0 : -errno;
    SS_AUTO_FREE char *names = malloc((size_t)size);
    if (!names)
        return -ENOMEM;
    size = flistxattr(from, names, (size_t)size);
    if (size < 0)
        return -errno;
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        if (strncmp(name, SS_XATTR_PREFIX, sizeof SS_XATTR_PREFIX - 1) == 0)
            continue;
        int r = copy_xattr(from, to, name);
        if (r < 0)
            return r;
    }
    return 0;
}

int ss_copy_attributes(int from, int to)
{
    struct stat st;

    if (fstat(from, &st) < 0)
        return -errno;
    if (fchown(to, st.st_uid, st.st_gid) < 0 && !may_be_refused(errno))
        return -errno;
    int r = copy_xattrs(from, to);
    if (r < 0)
        return r;
    /* Last: a change of owner takes set-id bits away. */
    return fchmod(to, st.st_mode & 07777) < 0 ? -errno : 0;
}
