#include "xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "util.h"

#define OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* Gives the owner write permission; *before is the mode to go back to. False when that is not possible, or changes
 * nothing. */
static bool let_in(int fd, mode_t *before)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || (st.st_mode & S_IWUSR))
        return false;
    *before = st.st_mode & 07777;
    return fchmod(fd, *before | S_IWUSR) == 0;
}

int ss_xattr_set(int fd, const char *name, const void *value, size_t size)
{
    mode_t mode;

    int r = fsetxattr(fd, name, value, size, 0) < 0 ? -errno : 0;
    if (r == -EACCES && let_in(fd, &mode)) {
        r = fsetxattr(fd, name, value, size, 0) < 0 ? -errno : 0;
        fchmod(fd, mode);
    }
    return r;
}

int ss_xattr_remove(int fd, const char *name)
{
    mode_t mode;

    int r = fremovexattr(fd, name) < 0 ? -errno : 0;
    if (r == -EACCES && let_in(fd, &mode)) {
        r = fremovexattr(fd, name) < 0 ? -errno : 0;
        fchmod(fd, mode);
    }
    return r == -ENODATA || r == -ENOTSUP ? 0 : r;
}

int ss_open_writable(int dir, const char *name)
{
    mode_t mode;

    int fd = openat(dir, name, O_RDWR | OPEN_FLAGS);
    if (fd >= 0 || errno != EACCES)
        return fd < 0 ? -errno : fd;
    SS_AUTO_CLOSE int reader = openat(dir, name, O_RDONLY | OPEN_FLAGS);
    if (reader < 0 || !let_in(reader, &mode))
        return -EACCES;
    fd = openat(dir, name, O_RDWR | OPEN_FLAGS);
    int r = fd < 0 ? -errno : fd;
    fchmod(reader, mode);
    return r;
}
