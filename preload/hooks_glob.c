/* glob. The C library reads directories for it without a call that could be hooked, unless the caller brings functions
 * for that: so ours are brought. One that brings his own has what he wants. */
#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>

#include "inside.h"
#include "real.h"
#include "self.h"

static struct dirent *read_entry(void *directory)
{
    return SS_HOOK(readdir(directory));
}

static void *open_entries(const char *path)
{
    return opendir(path);
}

static void close_entries(void *directory)
{
    closedir(directory);
}

static int stat_entry(const char *path, struct stat *st)
{
    return SS_HOOK(stat(path, st));
}

static int lstat_entry(const char *path, struct stat *st)
{
    return SS_HOOK(lstat(path, st));
}

static int list(const char *pattern, int flags, int (*failed)(const char *path, int error), glob_t *found)
{
    if (!ss_active || ss_inside() || (flags & GLOB_ALTDIRFUNC) || !found)
        return ss_real()->glob(pattern, flags, failed, found);
    const glob_t before = *found;
    found->gl_opendir = open_entries;
    found->gl_readdir = read_entry;
    found->gl_closedir = close_entries;
    found->gl_stat = stat_entry;
    found->gl_lstat = lstat_entry;
    int r = ss_real()->glob(pattern, flags | GLOB_ALTDIRFUNC, failed, found);
    found->gl_opendir = before.gl_opendir;
    found->gl_readdir = before.gl_readdir;
    found->gl_closedir = before.gl_closedir;
    found->gl_stat = before.gl_stat;
    found->gl_lstat = before.gl_lstat;
    found->gl_flags &= ~GLOB_ALTDIRFUNC;
    return r;
}

SS_EXPORT int glob(const char *pattern, int flags, int (*failed)(const char *path, int error), glob_t *found)
{
    return list(pattern, flags, failed, found);
}

/* The same structure on machines of 64 bits. */
SS_EXPORT int glob64(const char *pattern, int flags, int (*failed)(const char *path, int error), glob64_t *found)
{
    return list(pattern, flags, failed, (glob_t *)(void *)found);
}
