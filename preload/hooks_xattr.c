/* Extended attributes: of the family's draft under its public name. Copying tools bring their source's seal along, or
 * want to take off one that their source does not have: what stands is what Saveseal found itself, so for the seal they
 * are let pass and nothing happens. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include "inside.h"
#include "readable.h"
#include "real.h"
#include "roots.h"
#include "self.h"
#include "view.h"
#include "where.h"
#include "core/draft.h"
#include "core/util.h"

#define GO_ON 1

static bool is_ours(const char *name)
{
    return strncmp(name, SS_XATTR_PREFIX, sizeof SS_XATTR_PREFIX - 1) == 0;
}

/* What a change of one of ours is answered. */
static int refuse(const char *name)
{
    if (strcmp(name, SS_SEAL_XATTR) == 0)
        return 0;
    errno = EPERM;
    return -1;
}

/* GO_ON, or what the call returns. */
static int check_path(const char *path, const char *name)
{
    char canonical[PATH_MAX];

    if (!ss_active || ss_inside() || !ss_readable_path(path) || !ss_readable_path(name) || !is_ours(name))
        return GO_ON;
    return ss_where_by_text(AT_FDCWD, path, canonical) ? refuse(name) : GO_ON;
}

static int check_fd(int fd, const char *name)
{
    char path[PATH_MAX], canonical[PATH_MAX];

    if (!ss_active || ss_inside() || !ss_readable_path(name) || !is_ours(name))
        return GO_ON;
    return ss_where_of_fd(fd, path) && ss_roots_cover(path, canonical) ? refuse(name) : GO_ON;
}

/* The draft's own descriptor: to open it anew and close it would take the program's locks off. */
static int witness_of(const char *path, struct ss_view *view)
{
    if (ss_view_is_plain(path))
        return SS_VIEW_PLAIN;
    SS_INSIDE;
    int r = ss_view_begin(AT_FDCWD, path, view);
    if (r < 0) {
        errno = -r;
        return SS_VIEW_FAILED;
    }
    return view->own ? view->own->witness : SS_VIEW_PLAIN;
}

/* A draft's attributes without ours, with a size of 0 for how many bytes that are. */
static ssize_t list_draft(int fd, char *list, size_t size)
{
    char all[XATTR_LIST_MAX];
    size_t len = 0;

    ssize_t n = ss_real()->flistxattr(fd, all, sizeof all);
    if (n < 0)
        return n;
    for (const char *name = all; name < all + n; name += strlen(name) + 1) {
        size_t bytes = strlen(name) + 1;
        if (is_ours(name))
            continue;
        if (size > 0 && len + bytes > size) {
            errno = ERANGE;
            return -1;
        }
        if (size > 0)
            memcpy(list + len, name, bytes);
        len += bytes;
    }
    return (ssize_t)len;
}

/* real is the call for what the program said, own the one for the descriptor fd of a draft; check says whether either
 * is to be made. */
#define XATTR(type, hook, parameters, check, real, own)                                                                \
    SS_EXPORT type hook parameters                                                                                     \
    {                                                                                                                  \
        int checked = (check);                                                                                         \
        if (checked != GO_ON)                                                                                          \
            return checked;                                                                                            \
        SS_AUTO_VIEW struct ss_view view = {0};                                                                        \
        int fd = witness_of(path, &view);                                                                              \
        if (fd == SS_VIEW_PLAIN)                                                                                       \
            return real;                                                                                               \
        return fd < 0 ? -1 : (own);                                                                                    \
    }
#define SET(hook)                                                                                                      \
    XATTR(int, hook, (const char *path, const char *name, const void *value, size_t size, int flags),                  \
          check_path(path, name), ss_real()->hook(path, name, value, size, flags),                                     \
          ss_real()->fsetxattr(fd, name, value, size, flags))
#define REMOVE(hook)                                                                                                   \
    XATTR(int, hook, (const char *path, const char *name), check_path(path, name), ss_real()->hook(path, name),        \
          ss_real()->fremovexattr(fd, name))
#define GET(hook)                                                                                                      \
    XATTR(ssize_t, hook, (const char *path, const char *name, void *value, size_t size), GO_ON,                        \
          ss_real()->hook(path, name, value, size), fgetxattr(fd, name, value, size))
#define LIST(hook)                                                                                                     \
    XATTR(ssize_t, hook, (const char *path, char *list, size_t size), GO_ON, ss_real()->hook(path, list, size),        \
          list_draft(fd, list, size))

SET(setxattr)
SET(lsetxattr)
REMOVE(removexattr)
REMOVE(lremovexattr)
GET(getxattr)
GET(lgetxattr)
LIST(listxattr)
LIST(llistxattr)

SS_EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    int r = check_fd(fd, name);
    return r == GO_ON ? ss_real()->fsetxattr(fd, name, value, size, flags) : r;
}

SS_EXPORT int fremovexattr(int fd, const char *name)
{
    int r = check_fd(fd, name);
    return r == GO_ON ? ss_real()->fremovexattr(fd, name) : r;
}

SS_EXPORT ssize_t flistxattr(int fd, char *list, size_t size)
{
    if (ss_fd_is_ours(fd) && !ss_inside())
        return list_draft(fd, list, size);
    return ss_real()->flistxattr(fd, list, size);
}
