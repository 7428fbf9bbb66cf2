/* The files that a command line means: names as they are given, and with -r all that lies below directories.
 *
 * Directories are walked in the byte order of their names, by descriptors, without following symbolic links. On a
 * savesealfs mount the directory behind it is walked, for the mount shows no drafts. Other mounts are entered; one
 * directory inside itself (bind mounts) is not. What is no regular file is passed over. In memory are the names of the
 * directories that lead to where the walk is. */
#ifndef SAVESEAL_TOOLS_WALK_H
#define SAVESEAL_TOOLS_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "core/check/judgement.h"
#include "core/check/place.h"

/* A directory that the walk is in, or that items are of. Items may be given back by any thread. */
struct walk_dir {
    struct ss_place place;
    _Atomic unsigned users;
};

struct walk_item {
    char *path;                 /* as to be shown */
    const char *name;           /* its last part */
    struct walk_dir *dir;       /* that holds it; NULL when the user gave the path */
    struct ss_judgement *sorry; /* not NULL: a directory that can not be read, and why */
};

struct walk;

/* paths must live as long as the walk. NULL is never returned. */
struct walk *walk_start(char *const *paths, size_t count, bool recursive);

/* The next one. False at the end. */
bool walk_next(struct walk *walk, struct walk_item *item);

void walk_end(struct walk *walk);

/* Frees what an item holds. Thread-safe. */
void walk_item_free(struct walk_item *item);

/* stat() of an item; of one in a directory it does not follow symbolic links. Returns 0 or -errno. */
int walk_item_stat(const struct walk_item *item, struct stat *st);

#endif
