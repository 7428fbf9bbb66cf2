#include "where.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real.h"
#include "roots.h"
#include "core/util.h"

#define GONE " (deleted)"
#define GONE_LEN ((ssize_t)sizeof GONE - 1)
#define LINKS_MAX 40 /* as the kernel follows */

bool ss_where_of_fd(int fd, char path[PATH_MAX])
{
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = ss_real()->readlinkat(AT_FDCWD, link, path, PATH_MAX - 1);
    if (n <= 0 || path[0] != '/')
        return false;
    path[n] = '\0';
    return true;
}

#define TRICKY 1 /* a ".." in it, or an end that asks for a directory */
#define LOOSE 2  /* a "." or an empty part in it */

/* One pass without a call: every open for writing asks, and hardly a path has anything to look at. */
static bool is_simple(const char *path)
{
    bool begins = path[0] != '/'; /* a part does, here */

    for (; *path; path++) {
        if (begins && (*path == '.' || *path == '/'))
            return false;
        begins = *path == '/';
    }
    return !begins;
}

static int look_at(const char *path)
{
    int found = 0;

    if (is_simple(path))
        return 0;
    while (*path) {
        const char *part = path;
        while (*path && *path != '/')
            path++;
        size_t len = (size_t)(path - part);
        bool last = *path == '\0';
        if (len == 1 && part[0] == '.')
            found |= last ? TRICKY : LOOSE;
        else if (len == 2 && part[0] == '.' && part[1] == '.')
            found |= TRICKY;
        for (bool doubled = false; *path == '/'; doubled = true) {
            path++;
            if (doubled)
                found |= LOOSE;
        }
        if (!last && *path == '\0')
            found |= TRICKY;
    }
    return found;
}

bool ss_where_is_tricky(const char *path)
{
    return look_at(path) & TRICKY;
}

/* Appends a path's parts to an absolute one, leaving out "." and "". No part is "..". False when too long. */
static bool append(char absolute[PATH_MAX], const char *path)
{
    size_t len = strlen(absolute);

    if (len == 1)
        len = 0; /* the root: the slash comes with the first part */
    while (*path) {
        size_t part = strcspn(path, "/");
        if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (len + 1 + part >= PATH_MAX)
                return false;
            absolute[len++] = '/';
            memcpy(absolute + len, path, part);
            len += part;
        }
        path += part;
        path += *path == '/';
    }
    if (len == 0)
        absolute[len++] = '/';
    absolute[len] = '\0';
    return true;
}

/* Where a path begins. */
static bool base_of(int dirfd, const char *path, char base[PATH_MAX])
{
    strcpy(base, "/");
    if (path[0] == '/')
        return true;
    if (dirfd == AT_FDCWD)
        return getcwd(base, PATH_MAX) != NULL && base[0] == '/';
    return ss_where_of_fd(dirfd, base);
}

bool ss_where_by_text(int dirfd, const char *path, char canonical[PATH_MAX])
{
    char absolute[PATH_MAX];

    int saved = errno;
    int found = look_at(path);
    if (found & TRICKY)
        return ss_where_resolved(dirfd, path, false, canonical) > 0;
    if (path[0] == '/' && !(found & LOOSE))
        return ss_roots_cover(path, canonical);
    bool covered = base_of(dirfd, path, absolute) && append(absolute, path) && ss_roots_cover(absolute, canonical);
    errno = saved;
    return covered;
}

/* The canonical name of the directory that holds what path names, and that one's name. */
static bool split(int dirfd, const char *path, char parent[PATH_MAX], const char **name)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if ((*name)[0] == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
        return false; /* a directory: nothing that could be saved */
    size_t len = (size_t)(*name - path);
    if (len >= sizeof above)
        return false;
    snprintf(above, sizeof above, "%.*s", (int)len, path);
    SS_AUTO_CLOSE int fd = ss_real()->openat(dirfd, above[0] ? above : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && ss_where_of_fd(fd, parent);
}

static int resolve(int dirfd, const char *path, bool follow, char canonical[PATH_MAX])
{
    char parent[PATH_MAX], current[PATH_MAX], next[PATH_MAX];
    const char *name;

    if (snprintf(current, sizeof current, "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    for (int links = 0; links < LINKS_MAX; links++) {
        if (!split(dirfd, current, parent, &name))
            return 0;
        if (!append(parent, name))
            return -ENAMETOOLONG;
        ssize_t n = follow ? ss_real()->readlinkat(AT_FDCWD, parent, next, sizeof next - 1) : -1;
        if (n < 0) /* no link: there it is */
            return ss_roots_cover(parent, canonical);
        next[n] = '\0';
        if (n > GONE_LEN && strcmp(next + n - GONE_LEN, GONE) == 0)
            return 0;         /* what /proc shows of an open file without a name */
        if (next[0] != '/') { /* from the link's directory on; what /proc shows of a pipe is not there either */
            *strrchr(parent, '/') = '\0';
            if (snprintf(current, sizeof current, "%s/%s", parent, next) >= PATH_MAX)
                return -ENAMETOOLONG;
        } else {
            strcpy(current, next);
        }
        dirfd = AT_FDCWD;
    }
    return 0; /* the real call says ELOOP */
}

int ss_where_resolved(int dirfd, const char *path, bool follow, char canonical[PATH_MAX])
{
    int saved = errno;

    int r = resolve(dirfd, path, follow, canonical);
    errno = saved;
    return r;
}
