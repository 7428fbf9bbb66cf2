#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "where.h"

bool ss_view_is_plain(const char *path)
{
    if (!ss_active || ss_inside() || !ss_readable_path(path) || !path[0])
        return true;
    return !ss_drafts_any() && !strstr(path, SS_DRAFT_PREFIX);
}

int ss_view_begin(int dirfd, const char *path, struct ss_view *view)
{
    char canonical[PATH_MAX];

    *view = (struct ss_view){.dir = dirfd, .path = path};
    if (!ss_where_by_text(dirfd, path, canonical))
        return 0;
    if (ss_draft_reserved(strrchr(canonical, '/') + 1))
        return -ENOENT;
    struct ss_held *held = ss_drafts_find(canonical);
    if (held && !ss_draft_still_named(held->dir, held->name, held->witness)) {
        held->over = true; /* another process has published it, or it was discarded */
        ss_drafts_put(held);
        held = NULL;
    }
    if (held)
        *view = (struct ss_view){.dir = held->dir, .path = held->name, .own = held};
    return 0;
}

void ss_view_end(struct ss_view *view)
{
    int saved = errno;

    if (view->own)
        ss_drafts_put(view->own);
    view->own = NULL;
    errno = saved;
}

int ss_view_open(int dirfd, const char *path, int flags)
{
    if (ss_view_is_plain(path))
        return SS_VIEW_PLAIN;
    SS_INSIDE;
    SS_AUTO_VIEW struct ss_view view;
    int r = ss_view_begin(dirfd, path, &view);
    if (r < 0) {
        errno = -r;
        return SS_VIEW_FAILED;
    }
    if (!view.own)
        return SS_VIEW_PLAIN;
    int fd = openat(view.dir, view.path, flags | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? SS_VIEW_FAILED : fd;
}

void ss_view_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        ss_real()->close(*fd);
    errno = saved;
}
