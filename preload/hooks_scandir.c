/* scandir and its names. The C library's read without a call that could be hooked, so in protected directories ours do
 * the same with the hooked ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "where.h"
#include "core/util.h"

typedef int select_entry(const struct dirent *);
typedef int compare_entries(const struct dirent **, const struct dirent **);

struct listing {
    struct dirent **entries;
    size_t count, room;
};

static void free_listing(struct listing *listing)
{
    while (listing->count > 0)
        free(listing->entries[--listing->count]);
    free(listing->entries);
}

/* Returns 0 or -ENOMEM. */
static int add(struct listing *listing, const struct dirent *entry)
{
    if (listing->count == listing->room) {
        size_t room = 2 * listing->room + 16;
        struct dirent **more = reallocarray(listing->entries, room, sizeof(void *));
        if (!more)
            return -ENOMEM;
        listing->entries = more;
        listing->room = room;
    }
    struct dirent *copy = malloc(entry->d_reclen);
    if (!copy)
        return -ENOMEM;
    listing->entries[listing->count++] = memcpy(copy, entry, entry->d_reclen);
    return 0;
}

static int read_all(DIR *directory, select_entry *wanted, struct listing *listing)
{
    const struct dirent *entry;
    int r = 0;

    errno = 0;
    while (r == 0 && (entry = SS_HOOK(readdir(directory)))) {
        if (!wanted || wanted(entry))
            r = add(listing, entry);
        if (r == 0)
            errno = 0;
    }
    return r < 0 ? r : -errno;
}

static int list(int dirfd, const char *path, struct dirent ***entries, select_entry *wanted, compare_entries *compare)
{
    struct listing listing = {0};
    int saved = errno;

    int fd = ss_real()->openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int error = errno;
        if (fd >= 0)
            ss_real()->close(fd);
        errno = error;
        return -1;
    }
    int r = read_all(directory, wanted, &listing);
    closedir(directory);
    if (r < 0) {
        free_listing(&listing);
        errno = -r;
        return -1;
    }
    if (compare && listing.count > 0)
        qsort(listing.entries, listing.count, sizeof(void *), (int (*)(const void *, const void *))compare);
    *entries = listing.entries;
    errno = saved;
    return (int)listing.count;
}

static bool is_protected(int dirfd, const char *path)
{
    char canonical[PATH_MAX], name[PATH_MAX];

    if (!ss_active || ss_inside() || !ss_readable_path(path))
        return false;
    SS_INSIDE;
    size_t len = strlen(path);
    if (len + 3 > sizeof name)
        return false;
    memcpy(name, path, len);
    strcpy(name + len, "/x"); /* a root itself is not below a root, what is in it is */
    return ss_where_by_text(dirfd, name, canonical) || ss_where_resolved(dirfd, name, false, canonical) > 0;
}

static int scan(int dirfd, const char *path, struct dirent ***entries, select_entry *wanted, compare_entries *compare)
{
    if (!is_protected(dirfd, path))
        return ss_real()->scandirat(dirfd, path, entries, wanted, compare);
    return list(dirfd, path, entries, wanted, compare);
}

SS_EXPORT int scandir(const char *path, struct dirent ***entries, select_entry *wanted, compare_entries *compare)
{
    return scan(AT_FDCWD, path, entries, wanted, compare);
}

SS_EXPORT int scandirat(int dirfd, const char *path, struct dirent ***entries, select_entry *wanted,
                        compare_entries *compare)
{
    return scan(dirfd, path, entries, wanted, compare);
}

/* A dirent is one and the same with 64-bit names here. */
typedef int select_entry64(const struct dirent64 *);
typedef int compare_entries64(const struct dirent64 **, const struct dirent64 **);

SS_EXPORT int scandir64(const char *path, struct dirent64 ***entries, select_entry64 *wanted,
                        compare_entries64 *compare)
{
    return scan(AT_FDCWD, path, (struct dirent ***)(void *)entries, (select_entry *)(void *)wanted,
                (compare_entries *)(void *)compare);
}

SS_EXPORT int scandirat64(int dirfd, const char *path, struct dirent64 ***entries, select_entry64 *wanted,
                          compare_entries64 *compare)
{
    return scan(dirfd, path, (struct dirent ***)(void *)entries, (select_entry *)(void *)wanted,
                (compare_entries *)(void *)compare);
}
