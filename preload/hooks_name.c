/* Names: unlink, rename, link, and what shows the name of an open file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inside.h"
#include "judge.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "view.h"
#include "where.h"
#include "core/util.h"

static int result(int r)
{
    if (r < 0)
        errno = -r;
    return r < 0 ? -1 : 0;
}

/* Who unlinks a name that he saves gives the save up; an old version stays. */
static int unlink_at(int dirfd, const char *path, int flags)
{
    if (ss_view_is_plain(path) || (flags & AT_REMOVEDIR))
        return ss_real()->unlinkat(dirfd, path, flags);
    SS_INSIDE;
    SS_AUTO_VIEW struct ss_view view;
    int r = ss_view_begin(dirfd, path, &view);
    if (r < 0)
        return result(r);
    return view.own ? result(ss_judge_drop(view.own)) : ss_real()->unlinkat(dirfd, path, flags);
}

SS_EXPORT int unlink(const char *path)
{
    return unlink_at(AT_FDCWD, path, 0);
}

SS_EXPORT int unlinkat(int dirfd, const char *path, int flags)
{
    return unlink_at(dirfd, path, flags);
}

SS_EXPORT int remove(const char *path)
{
    int r = unlink_at(AT_FDCWD, path, 0);

    return r < 0 && errno == EISDIR ? ss_real()->unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : r;
}

/* --- two names --- */

/* One that can not be read is for the kernel to find. */
static bool are_plain(const char *from, const char *to)
{
    return (ss_view_is_plain(from) && ss_view_is_plain(to)) || !ss_readable_path(from) || !ss_readable_path(to);
}

/* Does the new name lie in the same directory as the draft's old one? */
static bool is_beside(const char *old, const char *new)
{
    size_t len = (size_t)(strrchr(old, '/') - old);
    return strncmp(old, new, len + 1) == 0 && strchr(new + len + 1, '/') == NULL;
}

/* The save is to have another name; what stands there stays until it is published. */
static int rename_draft(struct ss_held *held, int dirfd, const char *path, unsigned flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    SS_AUTO_PUT struct ss_held *other = NULL;

    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    ss_drafts_target(held, old);
    if (!ss_where_by_text(dirfd, path, new) || !is_beside(old, new))
        return -EXDEV; /* a draft lives beside its name: mv and its like copy then */
    const char *name = strrchr(new, '/') + 1;
    if (ss_draft_reserved(name))
        return -EPERM;
    if (strcmp(old, new) == 0)
        return 0;
    other = ss_drafts_find(new);
    if (flags & RENAME_NOREPLACE && (other || faccessat(held->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0))
        return -EEXIST;
    int r = ss_judge_rename(held, name, new, flags & RENAME_NOREPLACE);
    return r < 0 || !other ? r : ss_judge_drop(other);
}

static int rename_at(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (are_plain(from, to))
        return ss_real()->renameat2(from_dir, from, to_dir, to, flags);
    SS_INSIDE;
    SS_AUTO_VIEW struct ss_view source;
    SS_AUTO_VIEW struct ss_view place = {0};
    int r = ss_view_begin(from_dir, from, &source);
    if (r == 0 && source.own)
        return result(rename_draft(source.own, to_dir, to, flags));
    if (r == 0)
        r = ss_view_begin(to_dir, to, &place) < 0 ? -EPERM : 0;
    if (r == 0 && place.own && (flags & RENAME_NOREPLACE))
        r = -EEXIST;
    if (r < 0)
        return result(r);
    r = ss_real()->renameat2(from_dir, from, to_dir, to, flags);
    if (r == 0 && place.own && !(flags & RENAME_EXCHANGE))
        ss_judge_drop(place.own); /* it was replaced */
    return r;
}

SS_EXPORT int rename(const char *from, const char *to)
{
    return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

SS_EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return rename_at(from_dir, from, to_dir, to, 0);
}

SS_EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return rename_at(from_dir, from, to_dir, to, flags);
}

/* A draft gets no second name. */
static int link_at(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (are_plain(from, to))
        return ss_real()->linkat(from_dir, from, to_dir, to, flags);
    SS_INSIDE;
    SS_AUTO_VIEW struct ss_view source;
    SS_AUTO_VIEW struct ss_view place = {0};
    int r = ss_view_begin(from_dir, from, &source);
    if (r == 0 && source.own)
        r = -EPERM;
    if (r == 0)
        r = ss_view_begin(to_dir, to, &place) < 0 ? -EPERM : place.own ? -EEXIST : 0;
    return r < 0 ? result(r) : ss_real()->linkat(from_dir, from, to_dir, to, flags);
}

SS_EXPORT int link(const char *from, const char *to)
{
    return link_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

SS_EXPORT int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return link_at(from_dir, from, to_dir, to, flags);
}

/* --- the name of an open draft --- */

/* path, of which len bytes are there (no NUL), may be a draft's: then public is the name that the program knows. */
static bool public_name(const char *path, size_t len, char public[PATH_MAX])
{
    char text[PATH_MAX];

    if (!ss_active || ss_inside() || len >= sizeof text)
        return false;
    memcpy(text, path, len);
    text[len] = '\0';
    const char *name = strrchr(text, '/');
    if (!name || !ss_draft_reserved(name + 1))
        return false;
    SS_INSIDE;
    SS_AUTO_PUT struct ss_held *held = ss_drafts_find_named(name + 1);
    if (held)
        ss_drafts_target(held, public);
    return held != NULL;
}

static ssize_t read_link(int dirfd, const char *path, char *buf, size_t size)
{
    char public[PATH_MAX];

    ssize_t n = ss_real_or_early()->readlinkat(dirfd, path, buf, size);
    if (n <= 0 || !public_name(buf, (size_t)n, public))
        return n;
    size_t len = strlen(public);
    len = len < size ? len : size;
    memcpy(buf, public, len); // NOLINT(bugprone-not-null-terminated-result): as readlink has it
    return (ssize_t)len;
}

SS_EXPORT ssize_t readlink(const char *restrict path, char *restrict buf, size_t size)
{
    return read_link(AT_FDCWD, path, buf, size);
}

SS_EXPORT ssize_t readlinkat(int dirfd, const char *restrict path, char *restrict buf, size_t size)
{
    return read_link(dirfd, path, buf, size);
}

/* The canonical name of a draft that has a public name only for us is made of its directory's. */
static char *canonical_of(const char *path, char *resolved)
{
    char public[PATH_MAX];

    if (!ss_view_is_plain(path)) {
        SS_INSIDE;
        SS_AUTO_VIEW struct ss_view view;
        if (ss_view_begin(AT_FDCWD, path, &view) == 0 && view.own) {
            ss_drafts_target(view.own, public);
            return resolved ? strcpy(resolved, public) : strdup(public);
        }
    }
    char *found = ss_real()->realpath(path, resolved);
    if (!found || !public_name(found, strlen(found), public))
        return found;
    if (resolved)
        return strcpy(resolved, public);
    free(found);
    return strdup(public);
}

SS_EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
    return canonical_of(path, resolved);
}

SS_EXPORT char *canonicalize_file_name(const char *path)
{
    return canonical_of(path, NULL);
}

/* What fortified programs call; the C library checks size against what it knows of the buffer. */
#define CHECK_SIZE(size, have)                                                                                         \
    if ((size) > (have))                                                                                               \
    abort()

SS_EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t have);
SS_EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t have)
{
    CHECK_SIZE(size, have);
    return read_link(AT_FDCWD, path, buf, size);
}

SS_EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t size, size_t have);
SS_EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t size, size_t have)
{
    CHECK_SIZE(size, have);
    return read_link(dirfd, path, buf, size);
}

SS_EXPORT char *__realpath_chk(const char *path, char *resolved, size_t have);
SS_EXPORT char *__realpath_chk(const char *path, char *resolved, size_t have)
{
    CHECK_SIZE((size_t)PATH_MAX, have);
    return canonical_of(path, resolved);
}
