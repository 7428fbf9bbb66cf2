/* Listings: no hidden names, and the family's drafts under their public ones. */
/* A dirent has 64-bit members on every machine that the library runs on: the two names are one function. */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "drafts.h"
#include "inside.h"
#include "real.h"
#include "roots.h"
#include "self.h"
#include "where.h"

/* What readdir gave last in this thread in place of a draft: good until its next call, as with the real one. */
static _Thread_local struct dirent shown __attribute__((tls_model("initial-exec")));

static bool is_protected(DIR *directory)
{
    char path[PATH_MAX], canonical[PATH_MAX];

    if (!ss_where_of_fd(dirfd(directory), path) || strlen(path) + 3 > sizeof path)
        return false;
    strcat(path, "/x"); /* a root itself is not below a root, what is in it is */
    return ss_roots_cover(path, canonical);
}

/* The entry of a hidden file; NULL when it is not to be seen. */
static struct dirent *show(DIR *directory, const struct dirent *entry)
{
    char target[PATH_MAX];
    struct stat st;

    SS_AUTO_PUT struct ss_held *held = ss_drafts_find_named(entry->d_name);
    if (!held)
        return NULL;
    ss_drafts_target(held, target);
    const char *name = strrchr(target, '/') + 1;
    if (fstatat(dirfd(directory), name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return NULL; /* the name is listed anyhow, for the version that it is to replace */
    shown = (struct dirent){.d_ino = entry->d_ino, .d_off = entry->d_off, .d_type = entry->d_type};
    snprintf(shown.d_name, sizeof shown.d_name, "%s", name);
    shown.d_reclen = sizeof shown;
    return &shown;
}

/* What a listing shows for an entry; NULL for nothing. */
static struct dirent *seen_as(DIR *directory, struct dirent *entry)
{
    if (entry->d_name[0] != '.' || !ss_active || ss_inside() || !ss_draft_reserved(entry->d_name))
        return entry;
    SS_INSIDE;
    int saved = errno;
    struct dirent *instead = is_protected(directory) ? show(directory, entry) : entry;
    errno = saved;
    return instead;
}

static struct dirent *next_entry(DIR *directory)
{
    struct dirent *entry, *instead = NULL;

    while (!instead && (entry = ss_real()->readdir(directory)))
        instead = seen_as(directory, entry);
    return instead;
}

SS_EXPORT struct dirent *readdir(DIR *directory)
{
    return next_entry(directory);
}

SS_EXPORT struct dirent64 *readdir64(DIR *directory)
{
    return (struct dirent64 *)(void *)next_entry(directory);
}

static int next_entry_into(DIR *directory, struct dirent *buf, struct dirent **result)
{
    for (;;) {
        int r = ss_real()->readdir_r(directory, buf, result);
        if (r != 0 || !*result)
            return r;
        const struct dirent *instead = seen_as(directory, buf);
        if (instead && instead != buf) /* the buffer needs no more room than a name of 255 bytes takes */
            memcpy(buf, instead, offsetof(struct dirent, d_name) + strlen(instead->d_name) + 1);
        if (instead)
            return 0;
    }
}

SS_EXPORT int readdir_r(DIR *directory, struct dirent *buf, struct dirent **result)
{
    return next_entry_into(directory, buf, result);
}

SS_EXPORT int readdir64_r(DIR *directory, struct dirent64 *buf, struct dirent64 **result)
{
    return next_entry_into(directory, (struct dirent *)(void *)buf, (struct dirent **)(void *)result);
}
