#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "real.h"
#include "core/util.h"

/* Of mountinfo: what is behind that is not seen. Less than a huge page, which would be cleared. */
#define TEXT_MAX (1 << 20)
#define MOUNTS_MAX 8192
#define NAMES_MAX 64

/* Of proc(5): "36 35 98:0 /root /mount/point options ...". */
struct mount {
    const char *device; /* "98:0" */
    const char *root;   /* which directory of the file system is seen at path */
    const char *path;
};

/* Only what is touched takes memory. */
struct table {
    size_t count;
    struct mount mounts[MOUNTS_MAX];
    char text[TEXT_MAX + 1];
};

struct name {
    char text[PATH_MAX];
    char canonical[PATH_MAX];
};

struct names {
    size_t count;
    struct name all[NAMES_MAX];
};

/* NULL: not looked yet. Made whole, and then stored once; never changed after that. */
static _Atomic(struct names *) known;
static struct names none;
static _Atomic int passed; /* names on other devices, not looked for that */
#define PASSED_MAX 15

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* --- the table of mounts --- */

/* Cuts a field off, and makes its \ooo characters again. */
static char *next_field(char **rest)
{
    char *field = *rest;
    char *out = field;
    const char *in = field;

    for (; *in && *in != ' '; in++) {
        bool escaped = in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] && in[3];
        *out++ = escaped ? (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0')) : *in;
        in += escaped ? 3 : 0;
    }
    *rest += in - field + (*in == ' ');
    *out = '\0';
    return field;
}

static void parse_line(struct table *table, char *line)
{
    struct mount mount;

    next_field(&line); /* its number, and that of what it is mounted on */
    next_field(&line);
    mount.device = next_field(&line);
    mount.root = next_field(&line);
    mount.path = next_field(&line);
    if (mount.root[0] == '/' && mount.path[0] == '/' && table->count < MOUNTS_MAX)
        table->mounts[table->count++] = mount;
}

static bool read_table(struct table *table)
{
    size_t len = 0;
    ssize_t n;

    SS_AUTO_CLOSE int fd = ss_real()->openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < TEXT_MAX && (n = read(fd, table->text + len, TEXT_MAX - len)) > 0)
        len += (size_t)n;
    for (char *line = table->text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        parse_line(table, line);
    }
    return true;
}

/* --- which of them show a protected directory --- */

/* What is left of path below dir, "" or with a slash; NULL when it is not there. */
static const char *below(const char *path, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

    if (strncmp(path, dir, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return strcmp(path, "/") == 0 ? "" : path + len;
}

static bool join(char out[PATH_MAX], const char *dir, const char *rest)
{
    int n = snprintf(out, PATH_MAX, "%s%s", strcmp(dir, "/") == 0 && rest[0] ? "" : dir, rest);
    return n > 0 && n < PATH_MAX;
}

/* The mount that a directory is on, as far as names tell: of those with one name, the last one covers the others. */
static const struct mount *mount_of(const struct table *table, const char *dir)
{
    const struct mount *found = NULL;

    for (const struct mount *mount = table->mounts; mount < table->mounts + table->count; mount++)
        if (below(dir, mount->path) && (!found || strlen(mount->path) >= strlen(found->path)))
            found = mount;
    return found;
}

static bool are_same(const char *a, const char *b)
{
    struct stat first, second;

    return ss_real()->fstatat(AT_FDCWD, a, &first, 0) == 0 && ss_real()->fstatat(AT_FDCWD, b, &second, 0) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino && S_ISDIR(first.st_mode);
}

static void add(struct names *names, const struct name *name)
{
    if (names->count < NAMES_MAX && strcmp(name->text, name->canonical) != 0 && are_same(name->text, name->canonical))
        names->all[names->count++] = *name;
}

/* inside: the root's place in its file system. */
static void add_of(struct names *names, const struct mount *other, const char *root, const char *inside)
{
    struct name name;
    const char *rest;

    if ((rest = below(inside, other->root))) { /* it shows the root, or what is above it */
        if (join(name.text, other->path, rest) && join(name.canonical, root, ""))
            add(names, &name);
    } else if ((rest = below(other->root, inside))) { /* it shows what is below the root */
        if (join(name.text, other->path, "") && join(name.canonical, root, rest))
            add(names, &name);
    }
}

static void find_names(struct names *names, const struct table *table, const char *root)
{
    char inside[PATH_MAX];
    const struct mount *own = mount_of(table, root);

    if (!own || !join(inside, own->root, below(root, own->path)))
        return;
    for (const struct mount *mount = table->mounts; mount < table->mounts + table->count; mount++)
        if (mount != own && strcmp(mount->device, own->device) == 0)
            add_of(names, mount, root, inside);
}

static struct names *look(const struct ss_root roots[], size_t count)
{
    SS_INSIDE;
    struct table *table = reserve(sizeof *table);
    struct names *names = reserve(sizeof *names);

    if (table && names && read_table(table))
        for (size_t i = 0; i < count; i++)
            find_names(names, table, roots[i].canonical);
    if (table)
        munmap(table, sizeof *table);
    if (names && names->count > 0)
        return names;
    if (names)
        munmap(names, sizeof *names);
    return &none;
}

/* Can a file of that name be on a device of the protected directories? Many programs write to pipes, terminals and
 * /tmp alone. */
static bool is_worth_a_look(const char *path, const struct ss_root roots[], size_t count)
{
    char parent[PATH_MAX];
    struct stat st;

    if (atomic_load(&passed) >= PASSED_MAX)
        return true;
    snprintf(parent, sizeof parent, "%.*s/", (int)(strrchr(path, '/') - path), path);
    if (ss_real()->fstatat(AT_FDCWD, parent, &st, 0) < 0)
        return false; /* nor can it be opened */
    for (size_t i = 0; i < count; i++)
        if (st.st_dev == roots[i].device)
            return true;
    atomic_fetch_add(&passed, 1);
    return false;
}

static const struct names *get_names(const char *path, const struct ss_root roots[], size_t count)
{
    struct names *names = atomic_load(&known);

    if (names)
        return names;
    if (!is_worth_a_look(path, roots, count))
        return &none;
    struct names *made = look(roots, count);
    if (atomic_compare_exchange_strong(&known, &names, made))
        return made;
    if (made != &none) /* another thread was faster */
        ss_real()->munmap(made, sizeof *made);
    return names;
}

/* Do two names of files have the same directory? */
static bool have_one_parent(const char *path, const char *other)
{
    char parents[2][PATH_MAX];

    snprintf(parents[0], PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
    snprintf(parents[1], PATH_MAX, "%.*s", (int)(strrchr(other, '/') - other), other);
    return are_same(parents[0], parents[1]);
}

bool ss_mounts_cover(const char *path, const struct ss_root roots[], size_t count, char canonical[PATH_MAX])
{
    int saved = errno;
    bool covered = false;

    const struct names *names = get_names(path, roots, count);
    for (size_t i = 0; !covered && i < names->count; i++) {
        const struct name *name = &names->all[i];
        const char *rest = below(path, name->text);
        covered = rest && rest[0] && join(canonical, name->canonical, rest) && have_one_parent(path, canonical);
    }
    errno = saved;
    return covered;
}
