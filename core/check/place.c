#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/util.h"
#include "quote.h"

/* The mount shows the inode numbers of the directory behind it. */
static bool same_inode(int seen, int backing)
{
    struct stat mount, behind;

    return fstat(seen, &mount) == 0 && fstat(backing, &behind) == 0 && mount.st_ino == behind.st_ino;
}

/* Opens the directory behind a mount. Returns a descriptor, -ENODATA when there is none, or -errno.
 *
 * Only a FUSE file system is asked. On any other the attribute is a plain one that the directory's owner can set to
 * lead root's tool elsewhere. */
static int open_backing(int seen)
{
    char link[64], path[PATH_MAX];
    struct statfs fs;

    if (fstatfs(seen, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC)
        return -ENODATA;
    /* By way of /proc, because seen may be an O_PATH descriptor, which fgetxattr refuses. */
    snprintf(link, sizeof link, "/proc/self/fd/%d", seen);
    ssize_t len = getxattr(link, SS_PLACE_XATTR, path, sizeof path - 1);
    if (len <= 0)
        return len < 0 && errno == EACCES ? -EACCES : -ENODATA;
    path[len] = '\0';
    if (path[0] != '/' || strlen(path) != (size_t)len)
        return -ENODATA;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* The path names the daemon by its number; in another pid namespace that is somebody else. */
    if (!same_inode(seen, fd)) {
        close(fd);
        return -EACCES;
    }
    return fd;
}

static int open_place(int dir, const char *name, int flags, struct ss_place *place)
{
    int seen = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

    if (seen < 0 && errno == EACCES) /* files in it may be reached by name all the same */
        seen = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC | flags);
    if (seen < 0)
        return -errno;
    int backing = open_backing(seen);
    *place = (struct ss_place){
        .seen = seen,
        .dir = backing >= 0 ? backing : seen,
        .on_mount = backing != -ENODATA,
        .hidden = backing >= 0 || backing == -ENODATA ? 0 : backing,
    };
    return 0;
}

int ss_place_open(const char *path, struct ss_place *place)
{
    return open_place(AT_FDCWD, path, 0, place);
}

int ss_place_openat(int dir, const char *name, struct ss_place *place)
{
    return open_place(dir, name, O_NOFOLLOW, place);
}

const char *ss_place_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

int ss_place_of(const char *path, struct ss_place *place, char name[NAME_MAX + 1])
{
    const char *base = ss_place_base(path);

    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return -EISDIR;
    if (strlen(base) > NAME_MAX)
        return -ENAMETOOLONG;
    SS_AUTO_FREE char *dir = ss_place_sibling(path, ".");
    int r = dir ? ss_place_open(dir, place) : -ENOMEM;
    if (r == 0)
        memcpy(name, base, strlen(base) + 1);
    return r;
}

void ss_place_close(struct ss_place *place)
{
    int saved = errno;

    if (place->dir >= 0 && place->dir != place->seen)
        close(place->dir);
    if (place->seen >= 0)
        close(place->seen);
    place->dir = place->seen = -1;
    errno = saved;
}

char *ss_place_sibling(const char *path, const char *name)
{
    char *sibling;

    return asprintf(&sibling, "%.*s%s", (int)(ss_place_base(path) - path), path, name) < 0 ? NULL : sibling;
}

char *ss_place_sibling_quoted(const char *path, const char *name)
{
    SS_AUTO_FREE char *sibling = ss_place_sibling(path, name);

    return sibling ? ss_quote(sibling) : NULL;
}
