#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/entries.h"
#include "core/util.h"
#include "names.h"
#include "report.h"

/* One directory on the way from a PATH to where the walk is. */
struct level {
    struct level *up;
    struct walk_dir *dir;
    char *path; /* with a slash at its end */
    dev_t dev;
    ino_t ino;
    struct names names;
    size_t next;
    int error; /* that ended the reading of names, to be told after them */
};

struct walk {
    char *const *paths;
    size_t count, next;
    bool recursive;
    struct level *level; /* the innermost one; NULL between two PATHs */
};

/* ---- directories and items ---- */

static void dir_release(struct walk_dir *dir)
{
    if (dir && atomic_fetch_sub(&dir->users, 1) == 1) {
        ss_place_close(&dir->place);
        free(dir);
    }
}

void walk_item_free(struct walk_item *item)
{
    dir_release(item->dir);
    free(item->sorry);
    free(item->path);
    *item = (struct walk_item){.path = NULL};
}

int walk_item_stat(const struct walk_item *item, struct stat *st)
{
    int r = item->dir ? fstatat(item->dir->place.dir, item->name, st, AT_SYMLINK_NOFOLLOW) : stat(item->path, st);

    return r < 0 ? -errno : 0;
}

static void fill_item(struct walk_item *item, char *path, struct walk_dir *dir, int error)
{
    *item = (struct walk_item){.path = path, .dir = dir};
    item->name = ss_place_base(item->path);
    if (dir)
        atomic_fetch_add(&dir->users, 1);
    if (error < 0) {
        item->sorry = report_must(malloc(sizeof *item->sorry));
        ss_judge_errno(item->sorry, error);
    }
}

/* ---- levels ---- */

static void leave(struct walk *walk)
{
    struct level *level = walk->level;

    walk->level = level->up;
    dir_release(level->dir);
    names_free(&level->names);
    free(level->path);
    free(level);
}

static bool is_inside(const struct walk *walk, const struct stat *st)
{
    for (const struct level *level = walk->level; level; level = level->up)
        if (level->dev == st->st_dev && level->ino == st->st_ino)
            return true;
    return false;
}

static int add_name(void *names, const struct dirent *entry)
{
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
        names_add(names, entry->d_name, entry->d_type);
    return 0;
}

/* Reads the names in the directory; how that ended is level->error. */
static void read_names(struct level *level)
{
    level->error = ss_entries_each(level->dir->place.dir, add_name, &level->names);
    names_sort(&level->names);
}

/* Goes into a directory, unless the walk is in it already. Takes place over. */
static void enter(struct walk *walk, const char *path, struct ss_place *place)
{
    struct stat st = {0};

    /* There is one place where a directory that is an image itself would be told from one that holds images: here. */
    if (fstat(place->dir, &st) == 0 && is_inside(walk, &st)) {
        ss_place_close(place);
        return;
    }
    struct level *level = report_must(calloc(1, sizeof *level));
    level->dir = report_must(calloc(1, sizeof *level->dir));
    level->dir->place = *place;
    atomic_init(&level->dir->users, 1);
    level->dev = st.st_dev;
    level->ino = st.st_ino;
    size_t len = strlen(path);
    level->path = report_format("%s%s", path, len > 0 && path[len - 1] == '/' ? "" : "/");
    level->up = walk->level;
    walk->level = level;
    read_names(level);
}

/* ---- the walk ---- */

struct walk *walk_start(char *const *paths, size_t count, bool recursive)
{
    struct walk *walk = report_must(calloc(1, sizeof *walk));

    walk->paths = paths;
    walk->count = count;
    walk->recursive = recursive;
    return walk;
}

void walk_end(struct walk *walk)
{
    while (walk->level)
        leave(walk);
    free(walk);
}

/* Returns true when the PATH is an item; false when the walk has gone into it. */
static bool next_path(struct walk *walk, struct walk_item *item)
{
    const char *path = walk->paths[walk->next++];
    struct ss_place place = SS_PLACE_NONE;
    struct stat st;
    int r = 0;

    if (walk->recursive && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        r = ss_place_open(path, &place);
        if (r == 0) {
            enter(walk, path, &place);
            return false;
        }
    }
    fill_item(item, report_must(strdup(path)), NULL, r);
    return true;
}

/* Returns 0, or -errno where the directory does not tell. */
static int kind_of(const struct level *level, const char *name, unsigned char type, mode_t *kind)
{
    struct stat st;

    if (type != DT_UNKNOWN) {
        *kind = DTTOIF(type);
        return 0;
    }
    if (fstatat(level->dir->place.dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *kind = st.st_mode & S_IFMT;
    return 0;
}

/* Returns true when there is an item; false when the walk has moved to another directory, or passed something over. */
static bool next_name(struct walk *walk, struct walk_item *item)
{
    struct level *level = walk->level;
    struct ss_place place = SS_PLACE_NONE;
    unsigned char type;

    if (level->next == names_count(&level->names)) {
        int error = level->error;
        char *path = error < 0 ? report_must(strdup(level->path)) : NULL;
        leave(walk);
        if (error < 0)
            fill_item(item, path, NULL, error);
        return error < 0;
    }
    const char *name = names_get(&level->names, level->next++, &type);
    mode_t kind = 0;
    int r = kind_of(level, name, type, &kind);
    if (r == -ENOENT || (r == 0 && !S_ISREG(kind) && !S_ISDIR(kind)))
        return false;
    char *path = report_format("%s%s", level->path, name);
    if (S_ISREG(kind)) {
        fill_item(item, path, level->dir, 0);
        return true;
    }
    if (r == 0)
        r = ss_place_openat(level->dir->place.dir, name, &place);
    if (r == 0)
        enter(walk, path, &place);
    if (r == 0 || r == -ENOENT || r == -ENOTDIR || r == -ELOOP) { /* gone, or another thing by now */
        free(path);
        return false;
    }
    fill_item(item, path, NULL, r);
    return true;
}

bool walk_next(struct walk *walk, struct walk_item *item)
{
    while (walk->level || walk->next < walk->count)
        if (walk->level ? next_name(walk, item) : next_path(walk, item))
            return true;
    return false;
}
