#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/check/verify_state.h"
#include "core/entries.h"
#include "core/inside/inside.h"
#include "core/util.h"
#include "names.h"
#include "report.h"
#include "temporary.h"

#define OPEN_LEVELS 32 /* that many directories stay open; those above are opened anew on the way back */

/* One directory on the way from a PATH to where the walk is. */
struct level {
    struct walk_dir *dir; /* NULL: closed for now, or it could not be opened again */
    size_t path_len;      /* bytes of the walk's path: its own with a slash at the end */
    dev_t dev;
    ino_t ino;
    struct names names;
    size_t next;
    int error; /* that ended the reading of names, to be told after them */
    bool image;
};

struct walk {
    char *const *paths;
    size_t count, next;
    enum walk_mode mode;
    bool used; /* there was an item of use in the PATH that the walk is in */

    struct level *levels; /* from the PATH to the innermost one; none between two PATHs */
    size_t depth, room;
    char *path; /* of the innermost level */
    size_t path_room;
};

/* ---- directories and items ---- */

static void dir_release(struct walk_dir *dir)
{
    if (dir && atomic_fetch_sub(&dir->users, 1) == 1) {
        ss_place_close(&dir->place);
        free(dir);
    }
}

/* Takes place over. */
static struct walk_dir *dir_of(const struct ss_place *place, dev_t dev)
{
    struct walk_dir *dir = report_must(calloc(1, sizeof *dir));

    dir->place = *place;
    dir->dev = dev;
    atomic_init(&dir->users, 1);
    return dir;
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

uint64_t walk_item_fs(const struct walk_item *item, const struct stat *st)
{
    struct statfs fs;
    int r;

    if (item->dir && item->dir->dev == st->st_dev) {
        r = fstatfs(item->dir->place.dir, &fs);
    } else if (item->dir) { /* a file that something is mounted on */
        SS_AUTO_FREE char *path = report_format("/proc/self/fd/%d/%s", item->dir->place.dir, item->name);
        r = statfs(path, &fs);
    } else {
        r = statfs(item->path, &fs);
    }
    return r == 0 ? ss_verify_fs(&fs) : 0;
}

static void fill_item(struct walk_item *item, char *path, struct walk_dir *dir)
{
    *item = (struct walk_item){.path = path, .dir = dir};
    item->name = ss_place_base(item->path);
    if (dir)
        atomic_fetch_add(&dir->users, 1);
}

static struct ss_judgement *fill_sorry(struct walk_item *item, char *path)
{
    fill_item(item, path, NULL);
    item->sorry = report_must(malloc(sizeof *item->sorry));
    return item->sorry;
}

/* ---- levels ---- */

static struct level *innermost(const struct walk *walk)
{
    return &walk->levels[walk->depth - 1];
}

/* Puts name behind the first len bytes of the path. */
static void put_path(struct walk *walk, size_t len, const char *name)
{
    size_t more = strlen(name);

    if (walk->path_room - len < more + 2) {
        walk->path_room = 2 * (len + more) + 256;
        walk->path = report_must(realloc(walk->path, walk->path_room));
    }
    memcpy(walk->path + len, name, more + 1);
}

static bool is_inside(const struct walk *walk, const struct stat *st)
{
    for (size_t i = 0; i < walk->depth; i++)
        if (walk->levels[i].ino == st->st_ino && walk->levels[i].dev == st->st_dev)
            return true;
    return false;
}

static int add_name(void *names, const struct dirent *entry)
{
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !temporary_named(entry->d_name))
        names_add(names, entry->d_name, entry->d_type);
    return 0;
}

/* Reads the names in the directory; how that ended is level->error. */
static void read_names(struct level *level)
{
    level->error = ss_entries_each(level->dir->place.dir, add_name, &level->names);
    names_sort(&level->names);
}

static struct level *push(struct walk *walk)
{
    if (walk->depth == walk->room) {
        walk->room = 2 * walk->room + 16;
        walk->levels = report_must(reallocarray(walk->levels, walk->room, sizeof *walk->levels));
    }
    if (walk->depth >= OPEN_LEVELS) {
        struct level *above = &walk->levels[walk->depth - OPEN_LEVELS];
        dir_release(above->dir);
        above->dir = NULL;
    }
    struct level *level = &walk->levels[walk->depth++];
    *level = (struct level){.dir = NULL};
    return level;
}

/* Goes into a directory, whose path is the walk's, unless the walk is in it already. Takes place over. Returns true
 * when the directory itself is an image. */
static bool enter(struct walk *walk, struct ss_place *place)
{
    struct stat st = {0};

    if (fstat(place->dir, &st) == 0 && is_inside(walk, &st)) {
        ss_place_close(place);
        return false;
    }
    struct level *level = push(walk);
    level->dir = dir_of(place, st.st_dev);
    level->dev = st.st_dev;
    level->ino = st.st_ino;
    level->path_len = strlen(walk->path);
    if (level->path_len == 0 || walk->path[level->path_len - 1] != '/')
        walk->path[level->path_len++] = '/'; /* put_path() has left room */
    walk->path[level->path_len] = '\0';
    level->image = walk->mode == WALK_IMAGES && ss_inside_is_directory_image(place->dir);
    read_names(level);
    return level->image;
}

/* Opens the directory again that was closed for those below. Returns 0 or -errno, -ESTALE when another is there. */
static int reopen(struct level *level, int r, struct ss_place *place)
{
    struct stat st;

    if (r == 0 && fstat(place->dir, &st) < 0)
        r = -errno;
    if (r == 0 && (st.st_dev != level->dev || st.st_ino != level->ino))
        r = -ESTALE;
    if (r == 0)
        level->dir = dir_of(place, level->dev);
    else
        ss_place_close(place);
    return r;
}

static void leave(struct walk *walk)
{
    struct level left = *innermost(walk);

    walk->depth--;
    struct level *level = walk->depth > 0 ? innermost(walk) : NULL;
    if (level)
        walk->path[level->path_len] = '\0';
    if (level && !level->dir) {
        struct ss_place place = SS_PLACE_NONE;
        int r = left.dir ? reopen(level, ss_place_openat(left.dir->place.seen, "..", &place), &place) : -ESTALE;
        if (r < 0) { /* it was moved away meanwhile, and something else may be there */
            place = (struct ss_place)SS_PLACE_NONE;
            r = reopen(level, ss_place_open(walk->path, &place), &place);
        }
        if (r < 0 && level->next < names_count(&level->names)) {
            level->next = names_count(&level->names);
            level->error = r == -ENOENT ? -ESTALE : r; /* names were there, and what became of them nobody knows */
        }
    }
    dir_release(left.dir);
    names_free(&left.names);
}

/* ---- the walk ---- */

struct walk *walk_start(char *const *paths, size_t count, enum walk_mode mode)
{
    struct walk *walk = report_must(calloc(1, sizeof *walk));

    walk->paths = paths;
    walk->count = count;
    walk->mode = mode;
    return walk;
}

void walk_end(struct walk *walk)
{
    while (walk->depth > 0) {
        struct level *level = innermost(walk);
        dir_release(level->dir);
        names_free(&level->names);
        walk->depth--;
    }
    free(walk->levels);
    free(walk->path);
    free(walk);
}

void walk_use(struct walk *walk)
{
    walk->used = true;
}

/* Returns true when the PATH is an item; false when the walk has gone into it. */
static bool next_path(struct walk *walk, struct walk_item *item)
{
    const char *path = walk->paths[walk->next++];
    struct ss_place place = SS_PLACE_NONE;
    struct stat st;

    if (walk->mode != WALK_NAMED && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        int r = ss_place_open(path, &place);
        if (r < 0) {
            ss_judge_errno(fill_sorry(item, report_must(strdup(path))), r);
            return true;
        }
        walk->used = false;
        put_path(walk, 0, path);
        if (!enter(walk, &place))
            return false;
    }
    fill_item(item, report_must(strdup(path)), NULL);
    return true;
}

/* Returns 0, or -errno where the directory does not tell. */
static int kind_of(const struct level *level, const char *name, unsigned char type, mode_t *kind)
{
    struct stat st;

    if (type != DT_UNKNOWN) {
        *kind = (mode_t)DTTOIF(type);
        return 0;
    }
    if (fstatat(level->dir->place.dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *kind = st.st_mode & S_IFMT;
    return 0;
}

/* At the end of a directory. Returns true when there is something to be told of it. */
static bool next_end(struct walk *walk, struct walk_item *item)
{
    int error = innermost(walk)->error;

    if (error == 0 && (walk->depth > 1 || walk->used)) {
        leave(walk);
        return false;
    }
    if (error < 0)
        ss_judge_errno(fill_sorry(item, report_must(strdup(walk->path))), error);
    else
        ss_judge(fill_sorry(item, report_must(strdup(walk->paths[walk->next - 1]))), SS_NOT_FOUND,
                 "no image is in the directory or below: is its file system mounted?");
    walk->used = true; /* something is told */
    leave(walk);
    return true;
}

/* Goes into the directory called name. Returns true when there is an item: it is an image, or can not be opened. */
static bool next_directory(struct walk *walk, const char *name, struct walk_item *item)
{
    struct level *level = innermost(walk);
    struct walk_dir *dir = level->dir;
    struct ss_place place = SS_PLACE_NONE;
    size_t len = level->path_len;

    int r = ss_place_openat(dir->place.dir, name, &place);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP) /* gone, or another thing by now */
        return false;
    put_path(walk, len, name);
    if (r < 0) {
        ss_judge_errno(fill_sorry(item, report_must(strdup(walk->path))), r);
        walk->path[len] = '\0';
        return true;
    }
    atomic_fetch_add(&dir->users, 1);
    size_t depth = walk->depth;
    bool is_image = enter(walk, &place);
    if (walk->depth == depth)
        walk->path[len] = '\0';
    if (is_image)
        fill_item(item, report_must(strndup(walk->path, innermost(walk)->path_len - 1)), dir);
    dir_release(dir);
    return is_image;
}

/* Returns true when there is an item; false when the walk has moved to another directory, or passed something over. */
static bool next_name(struct walk *walk, struct walk_item *item)
{
    struct level *level = innermost(walk);
    unsigned char type;

    if (level->next == names_count(&level->names))
        return next_end(walk, item);
    const char *name = names_get(&level->names, level->next++, &type);
    mode_t kind = 0;
    int r = kind_of(level, name, type, &kind);
    if (r == -ENOENT)
        return false;
    if (r == 0 && S_ISDIR(kind))
        return next_directory(walk, name, item);
    if (r == 0 && !S_ISREG(kind))
        return false;
    char *path = report_format("%s%s", walk->path, name);
    if (r < 0) {
        ss_judge_errno(fill_sorry(item, path), r);
        return true;
    }
    fill_item(item, path, level->dir);
    item->part = level->image && ss_inside_is_directory_part(name);
    return true;
}

bool walk_next(struct walk *walk, struct walk_item *item)
{
    while (walk->depth > 0 || walk->next < walk->count)
        if (walk->depth > 0 ? next_name(walk, item) : next_path(walk, item))
            return true;
    return false;
}
