/* A directory that CRIU wrote. Its inventory is written when all the rest is there; the tree of processes in it says
 * which files there must be, and the page maps how large those are that hold memory. Source: criu/cr-dump.c,
 * criu/pagemap.c and images/ in CRIU 4.2. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "core/entries.h"
#include "core/util.h"
#include "criu_image.h"
#include "formats.h"

#define INVENTORY "inventory.img"
#define PSTREE "pstree.img"
#define PARENT "parent" /* of an incremental dump: a link to the directory before it */
#define IMAGES_VERSION 2
#define NUMBERS 16

enum { TASK_ALIVE = 1, TASK_STOPPED = 3 };
enum { PAGES_IN_PARENT = 1, PAGES_PRESENT = 4 };

struct images {
    struct ss_job job;              /* fd is the directory, size the bytes of all files in it */
    struct ss_inside_options quiet; /* for one file: how far that is does not matter */
    struct ss_window tree, window;  /* of the tree of processes, and of the files that it leads to */
    uint64_t done;                  /* bytes of the files that were looked at */
    uint64_t led;                   /* bytes of those that the tree led to: more than there are if it names one twice */

    bool pre_dump;
    uint32_t machine;
    uint64_t processes, threads, memory, files, others;
    uint64_t cores, cores_led; /* files core-, and those that the tree names */
};

/* Sets the finding; the 1 tells that there is one. */
#define DAMAGED(images, ...) (ss_job_say(&(images)->job, SS_STRUCTURE_DAMAGED, __VA_ARGS__), 1)

/* ---- one file ---- */

/* Opens a regular file of the directory. Returns 0 with fd and size in *file, or -errno; -EISDIR when it is none. */
static int open_file(const struct images *images, const char *name, struct ss_job *file)
{
    struct stat st;

    int fd = openat(images->job.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EISDIR;
    if (r < 0) {
        close(fd);
        return r;
    }
    *file = (struct ss_job){
        .fd = fd, .size = (uint64_t)st.st_size, .options = &images->quiet, .inside = images->job.inside};
    return 0;
}

/* Walks one file. Returns 0; 1 with a finding said; -ENOENT when there is none of that name; or -errno. */
static int walk_file(struct images *images, const char *name, struct ss_window *window,
                     int (*each)(void *context, uint64_t number, struct ss_protobuf *message), void *context,
                     uint64_t *records)
{
    struct ss_job file = {.fd = -1};

    int r = open_file(images, name, &file);
    if (r == -EISDIR || r == -ELOOP)
        return DAMAGED(images, "%s is no regular file", name);
    if (r < 0)
        return r;
    r = ss_criu_walk(&file, ss_criu_type_of(name), window, images->quiet.deep, each, context, records);
    close(file.fd);
    if (r == -ENODATA)
        return DAMAGED(images, "%s ends early: it has %" PRIu64 " bytes", name, file.size);
    return r == -EBADMSG ? DAMAGED(images, "%s is not what CRIU writes", name) : r;
}

/* The same for one that has to be there, with one record at least. */
static int walk_needed(struct images *images, const char *name, struct ss_window *window,
                       int (*each)(void *context, uint64_t number, struct ss_protobuf *message), void *context)
{
    uint64_t records = 0;

    int r = walk_file(images, name, window, each, context, &records);
    if (r == -ENOENT)
        return DAMAGED(images, "%s is missing", name);
    return r == 0 && records == 0 ? DAMAGED(images, "%s is empty", name) : r;
}

/* ---- the inventory ---- */

struct inventory {
    uint64_t version;
    bool pre_dump;
};

static int read_inventory(void *context, uint64_t number, struct ss_protobuf *message)
{
    struct inventory *inventory = context;
    struct ss_protobuf_field field;
    int r;

    if (number > 0)
        return -EBADMSG;
    while ((r = ss_protobuf_next(message, &field)) > 0) {
        if (field.number == 1)
            inventory->version = field.value;
        else if (field.number == 9)
            inventory->pre_dump = true;
    }
    return r;
}

static int check_inventory(struct images *images)
{
    struct inventory inventory = {0};
    struct stat st;

    if (fstatat(images->job.fd, INVENTORY, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return -errno;
        return (ss_job_say(&images->job, SS_FORMAT_INCOMPLETE, INVENTORY ", which CRIU writes last, is missing"), 1);
    }
    int r = walk_needed(images, INVENTORY, &images->window, read_inventory, &inventory);
    if (r != 0)
        return r;
    if (inventory.version != IMAGES_VERSION)
        return (
            ss_job_say(&images->job, SS_FORMAT_UNSUPPORTED, "version %" PRIu64 " of CRIU's images", inventory.version),
            1);
    images->pre_dump = inventory.pre_dump;
    return 0;
}

/* ---- processes ---- */

struct core {
    uint64_t machine, state; /* state: 0 for a thread that does not lead */
};

static int read_core(void *context, uint64_t number, struct ss_protobuf *message)
{
    struct core *core = context;
    struct ss_protobuf_field field;
    uint64_t numbers[NUMBERS];
    int r;

    if (number > 0)
        return -EBADMSG;
    while ((r = ss_protobuf_next(message, &field)) > 0) {
        if (field.number == 1 && !field.bytes)
            core->machine = field.value;
        if (field.number != 3 || !field.bytes)
            continue;
        struct ss_protobuf task = *message;
        task.at = field.at;
        task.end = field.at + field.value;
        if ((r = ss_protobuf_numbers(&task, numbers, NUMBERS)) < 0)
            return r;
        core->state = numbers[1];
    }
    return r;
}

static int read_ids(void *context, uint64_t number, struct ss_protobuf *message)
{
    uint64_t *ids = context;

    return number > 0 ? -EBADMSG : ss_protobuf_numbers(message, ids, NUMBERS);
}

/* Files that are only to be there and not empty: all are walked later. */
static int check_there(struct images *images, const char *what, uint64_t number)
{
    char name[NAME_MAX + 1];
    struct stat st;

    snprintf(name, sizeof name, "%s-%" PRIu64 ".img", what, number);
    if (fstatat(images->job.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? DAMAGED(images, "%s is missing", name) : -errno;
    return st.st_size == 0 ? DAMAGED(images, "%s is empty", name) : 0;
}

/* Reads the one record of a file that the tree leads to. */
static int read_led(struct images *images, const char *what, uint64_t number,
                    int (*each)(void *context, uint64_t number, struct ss_protobuf *message), void *context)
{
    char name[NAME_MAX + 1];
    struct stat st;

    snprintf(name, sizeof name, "%s-%" PRIu64 ".img", what, number);
    if (fstatat(images->job.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? DAMAGED(images, "%s is missing", name) : -errno;
    images->led += (uint64_t)st.st_size;
    if (images->led > images->job.size || images->cores_led > images->cores)
        return DAMAGED(images, PSTREE " names %s or others more than once", name);
    return walk_needed(images, name, &images->window, each, context);
}

/* What a process that runs on has, besides core-. */
static int check_alive(struct images *images, uint64_t pid)
{
    static const char *const needed[] = {"mm", "fs", "pagemap"};
    uint64_t ids[NUMBERS] = {0};

    for (size_t i = 0; i < SS_ARRAY_SIZE(needed); i++) {
        int r = check_there(images, needed[i], pid);
        if (r != 0)
            return r;
    }
    int r = read_led(images, "ids", pid, read_ids, ids);
    return r != 0 ? r : check_there(images, "fdinfo", ids[2]);
}

static int check_thread(struct images *images, uint64_t pid, struct core *core)
{
    *core = (struct core){0};
    images->cores_led++;
    return read_led(images, "core", pid, read_core, core);
}

static int check_process(struct images *images, uint64_t pid)
{
    struct core core;

    int r = check_thread(images, pid, &core);
    if (r != 0)
        return r;
    images->machine = (uint32_t)core.machine;
    images->processes++;
    return core.state == TASK_ALIVE || core.state == TASK_STOPPED ? check_alive(images, pid) : 0;
}

/* One row of the tree: a process and its threads. */
static int check_row(void *context, uint64_t number, struct ss_protobuf *message)
{
    struct images *images = context;
    struct ss_protobuf_field field;
    struct core core;
    uint64_t pid = 0;
    int r;

    (void)number;
    while ((r = ss_protobuf_next(message, &field)) > 0) {
        r = 0;
        if (field.bytes)
            return -EBADMSG;
        if (field.number == 1) {
            pid = field.value;
            r = check_process(images, pid);
        } else if (field.number == 5) {
            images->threads++;
            r = field.value == pid ? 0 : check_thread(images, field.value, &core);
        }
        if (r == 0)
            r = ss_job_step(&images->job, images->done);
        if (r != 0)
            return r;
    }
    return r < 0 ? r : pid == 0 ? -EBADMSG : 0;
}

/* ---- memory ---- */

struct pagemap {
    uint64_t pages_id, pages;
    bool in_parent;
};

static int read_pagemap(void *context, uint64_t number, struct ss_protobuf *message)
{
    struct pagemap *map = context;
    uint64_t numbers[NUMBERS];

    int r = ss_protobuf_numbers(message, numbers, NUMBERS);
    if (r < 0)
        return r;
    if (number == 0) {
        map->pages_id = numbers[1];
        return 0;
    }
    uint64_t pages = numbers[5] ? numbers[5] : numbers[2];
    uint64_t flags = numbers[3] ? PAGES_IN_PARENT : numbers[4] ? numbers[4] : PAGES_PRESENT;
    if (flags & PAGES_IN_PARENT)
        map->in_parent = true;
    else if ((flags & PAGES_PRESENT) && __builtin_add_overflow(map->pages, pages, &map->pages))
        return -EBADMSG;
    return 0;
}

/* Which sizes a page may have on the machine; the images do not say. */
static bool is_size_of(const struct images *images, uint64_t pages, uint64_t size)
{
    enum { X86_64 = 1, ARM = 2, S390 = 5 };
    bool small = images->machine == X86_64 || images->machine == ARM || images->machine == S390;

    for (uint64_t page = 4096; page <= (small ? 4096U : 65536U); page *= 2) {
        uint64_t bytes;
        if (!__builtin_mul_overflow(pages, page, &bytes) && bytes == size)
            return true;
    }
    return false;
}

static int check_pages(struct images *images, const char *map_name, const struct pagemap *map)
{
    char name[NAME_MAX + 1];
    struct stat st;

    snprintf(name, sizeof name, "pages-%" PRIu64 ".img", map->pages_id);
    if (fstatat(images->job.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return -errno;
        return map->pages ? DAMAGED(images, "%s, which %s names, is missing", name, map_name) : 0;
    }
    if (!S_ISREG(st.st_mode) || !is_size_of(images, map->pages, (uint64_t)st.st_size))
        return DAMAGED(images, "%s has %" PRIu64 " bytes, where %s names %" PRIu64 " pages", name, (uint64_t)st.st_size,
                       map_name, map->pages);
    images->memory += (uint64_t)st.st_size;
    return 0;
}

static int check_pagemap(struct images *images, const char *name)
{
    struct pagemap map = {0};

    int r = walk_needed(images, name, &images->window, read_pagemap, &map);
    if (r != 0)
        return r;
    if (map.in_parent && faccessat(images->job.fd, PARENT, F_OK, 0) < 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
            return -errno;
        return DAMAGED(images, "%s needs the dump before it, and its link \"" PARENT "\" leads nowhere", name);
    }
    return check_pages(images, name, &map);
}

/* ---- all files ---- */

static int check_file(struct images *images, const char *name)
{
    uint64_t records;
    struct stat st;

    if (fstatat(images->job.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno; /* the caller sees that the directory changed */
    int r = 0;
    if (strncmp(name, "pagemap-", 8) == 0)
        r = check_pagemap(images, name);
    else if (ss_criu_type_of(name))
        r = walk_file(images, name, &images->window, NULL, NULL, &records);
    else if (strncmp(name, "pages-", 6) != 0)
        images->others++;
    images->files++;
    images->done += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return r != 0 ? r : ss_job_step(&images->job, images->done);
}

static bool is_image(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".img") == 0;
}

static int check_each(void *images, const struct dirent *entry)
{
    return is_image(entry->d_name) ? check_file(images, entry->d_name) : 0;
}

/* What has to be known before. */
static int count_each(void *context, const struct dirent *entry)
{
    struct images *images = context;
    const char *name = entry->d_name;
    struct stat st;

    if (!is_image(name))
        return 0;
    if (fstatat(images->job.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        images->job.size += (uint64_t)st.st_size;
    images->cores += strncmp(name, "core-", 5) == 0;
    return 0;
}

/* ---- the answer ---- */

static void tell_facts(const struct images *images)
{
    ss_job_fact(&images->job, "processes", "%" PRIu64, images->processes);
    ss_job_fact(&images->job, "threads", "%" PRIu64, images->threads);
    ss_job_fact(&images->job, "memory", "%" PRIu64 " bytes", images->memory);
    ss_job_fact(&images->job, "files", "%" PRIu64, images->files);
    if (images->others)
        ss_job_fact(&images->job, "not-looked-at", "%" PRIu64 " files that other programs wrote", images->others);
}

static int check_images(struct images *images)
{
    int r = check_inventory(images);
    if (r == 0 && !images->pre_dump)
        r = walk_needed(images, PSTREE, &images->tree, check_row, images);
    if (r == 0)
        r = ss_entries_each(images->job.fd, check_each, images);
    if (r != 0)
        return r < 0 ? r : 0;
    tell_facts(images);
    if (images->pre_dump)
        return ss_job_say(&images->job, SS_END_UNPROVEN,
                          "it is a pre-dump: memory only, and CRIU writes its inventory also when it failed");
    if (images->cores_led < images->cores)
        return ss_job_say(&images->job, SS_END_UNPROVEN,
                          PSTREE " names %" PRIu64 " threads, and there are %" PRIu64
                                 " files core-: it was cut, or some are of another dump",
                          images->cores_led, images->cores);
    return ss_job_say(&images->job, SS_COMPLETE, "%s", "");
}

static bool has_magic(int dir, const char *name)
{
    unsigned char bytes[8];

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || ss_pread_full(fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    if (strcmp(name, INVENTORY) == 0)
        return ss_le32(bytes) == SS_CRIU_INVENTORY_MAGIC;
    return ss_le32(bytes) == SS_CRIU_COMMON_MAGIC && ss_le32(bytes + 4) == SS_CRIU_PSTREE_MAGIC;
}

static bool matches(int dir)
{
    return has_magic(dir, INVENTORY) || has_magic(dir, PSTREE);
}

static int check(const struct ss_job *job)
{
    SS_AUTO_FREE struct images *images = calloc(1, sizeof *images);

    if (!images)
        return -ENOMEM;
    images->job = *job;
    images->quiet = (struct ss_inside_options){.deep = job->options->deep, .stop = job->options->stop};
    int r = ss_entries_each(job->fd, count_each, images);
    return r < 0 ? r : check_images(images);
}

/* What CRIU writes, and what other programs write for it. */
static bool has(const char *name)
{
    static const char *const whole[] = {"stats-dump", "stats-restore", "dump.log", "restore.log"};
    static const char *const begins[] = {"pages-", "iptables-", "ip6tables-", "nftables-", "ifaddr-",
                                         "route-", "route6-",   "rule-",      "tmpfs-",    "binfmt-misc-"};

    if (ss_criu_type_of(name))
        return true;
    for (size_t i = 0; i < SS_ARRAY_SIZE(whole); i++) {
        if (strcmp(name, whole[i]) == 0)
            return true;
    }
    for (size_t i = 0; is_image(name) && i < SS_ARRAY_SIZE(begins); i++) {
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    }
    return false;
}

const struct ss_inside_directory_format ss_inside_criu = {"criu", "CRIU image directory", matches, check, has};
