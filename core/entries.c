#include "entries.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int ss_entries_each(int dir, int (*each)(void *context, const struct dirent *entry), void *context)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int r = 0;

    if (!stream) {
        r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = -errno;
            break;
        }
        r = each(context, entry);
    }
    closedir(stream);
    return r;
}
