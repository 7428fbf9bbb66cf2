/* The files that a command line means: names as they are given, and with -r all that lies below directories.
 *
 * Directories are walked in the byte order of their names, by descriptors, without following symbolic links. On a
 * savesealfs mount the directory behind it is walked, for the mount shows no drafts. Other mounts are entered; one
 * directory inside itself (bind mounts) is not. What is no regular file is passed over, and so are temporary files of
 * the tool itself. In memory are the names of the directories that lead to where the walk is; open are the last 32 of
 * them at most, and those that items are of. */
#ifndef SAVESEAL_TOOLS_WALK_H
#define SAVESEAL_TOOLS_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/check/judgement.h"
#include "core/check/place.h"

enum walk_mode {
    WALK_NAMED,  /* the names themselves */
    WALK_FILES,  /* and the regular files in directories and below */
    WALK_IMAGES, /* a directory that is an image is an item, too, before its files */
};

/* A directory that the walk is in, or that items are of. Items may be given back by any thread. */
struct walk_dir {
    struct ss_place place;
    dev_t dev; /* of place.dir */
    _Atomic unsigned users;
};

struct walk_item {
    char *path;                 /* as to be shown */
    const char *name;           /* its last part */
    struct walk_dir *dir;       /* that holds it; NULL when the user gave the path */
    struct ss_judgement *sorry; /* not NULL: a directory that can not be read, or has nothing in it, and why */
    bool part;                  /* of the directory that holds it, which is an image and was an item */
};

struct walk;

/* paths must live as long as the walk. NULL is never returned. */
struct walk *walk_start(char *const *paths, size_t count, enum walk_mode mode);

/* The next one. False at the end. */
bool walk_next(struct walk *walk, struct walk_item *item);

/* The last item was of use. A directory that was named and has none of use in it or below is told as such. */
void walk_use(struct walk *walk);

void walk_end(struct walk *walk);

/* Frees what an item holds. Thread-safe. */
void walk_item_free(struct walk_item *item);

/* stat() of an item; of one in a directory it does not follow symbolic links. Returns 0 or -errno. */
int walk_item_stat(const struct walk_item *item, struct stat *st);

/* The file system of an item with that stat, as ss_verify_stamp() wants it. 0 when it can not be told. */
uint64_t walk_item_fs(const struct walk_item *item, const struct stat *st);

#endif
