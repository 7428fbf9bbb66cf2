#include "rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "util.h"

static bool same_file(int a_dir, const char *a, int b_dir, const char *b)
{
    struct stat left, right;

    return fstatat(a_dir, a, &left, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(b_dir, b, &right, AT_SYMLINK_NOFOLLOW) == 0 &&
           left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/* Takes the old name away when the file has the new one. */
static int drop_old(int from_dir, const char *from, int to_dir, const char *to, bool linked)
{
    if (unlinkat(from_dir, from, 0) == 0 || errno == ENOENT) /* or somebody else has done it */
        return 0;
    int r = -errno;
    /* What stays undone must not look half done. A name that we did not make is not taken away. */
    bool undone = linked && same_file(from_dir, from, to_dir, to) && unlinkat(to_dir, to, 0) == 0;
    return undone ? r : 0;
}

static int rename_by_link(int from_dir, const char *from, int to_dir, const char *to)
{
    if (linkat(from_dir, from, to_dir, to, 0) == 0)
        return drop_old(from_dir, from, to_dir, to, true);
    int r = -errno;
    /* Both names are this very file's: an earlier try was broken off, or the server's first answer was lost (NFS). */
    if (r == -EEXIST && same_file(from_dir, from, to_dir, to))
        return drop_old(from_dir, from, to_dir, to, false);
    return r;
}

int ss_rename_exclusive(int from_dir, const char *from, int to_dir, const char *to)
{
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    return rename_by_link(from_dir, from, to_dir, to);
}
