/* io WHAT ARGUMENT...: what the benchmark times, without anything around it. Prints seconds, one phase a word.
 *
 *   io write FILE MIB BLOCK_KIB [direct] [fsync] [writers=N]   phases: open and write, fsync, close
 *   io read FILE BLOCK_KIB [direct]                            one phase
 *   io open|stat DIR COUNT ROUNDS                              names image.0 ... ; one phase
 *   io opens FILE COUNT read|write|fopen                       opens and closes a file that is there; one phase
 *   io small DIR COUNT [fsync|by-hand]                         creates COUNT files of 4 KiB; one phase
 *   io list DIR                                                one phase
 *
 * What is written looks like a complete save image of libvirt; it is not compressible and has no zero blocks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "core/digest.h"

#define WRITERS_MAX 16

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "io: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool has(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

static unsigned char *make_block(size_t size)
{
    uint64_t *block = aligned_alloc(4096, size), state = 0x9e3779b97f4a7c15u;

    if (!block)
        fail("memory");
    for (size_t i = 0; i < size / sizeof *block; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block[i] = state;
    }
    return (unsigned char *)block;
}

/* ---- write ---- */

struct writer {
    pthread_t thread;
    int fd;
    size_t block;
    off_t from, to;
};

/* Of a save image whose description is 4000 bytes long: see core/format.c. */
static void put_header(unsigned char *block)
{
    const uint32_t fields[] = {2, 4000, 0, 0, 0};

    memset(block, 0, 92);
    memcpy(block, "LibvirtQemudSave", 16);
    memcpy(block + 16, fields, sizeof fields);
}

static void *write_part(void *context)
{
    const struct writer *writer = context;
    unsigned char *block = make_block(writer->block);

    for (off_t at = writer->from; at < writer->to; at += (off_t)writer->block) {
        *(off_t *)(void *)block = at; /* no two blocks are equal */
        if (at == 0)
            put_header(block);
        if (pwrite(writer->fd, block, writer->block, at) != (ssize_t)writer->block)
            fail("write");
    }
    free(block);
    return NULL;
}

static void write_file(const char *path, off_t size, size_t block, int argc, char **argv)
{
    struct writer writers[WRITERS_MAX];
    unsigned count = 1;

    for (int i = 0; i < argc; i++)
        sscanf(argv[i], "writers=%u", &count);
    count = count > WRITERS_MAX ? WRITERS_MAX : count;
    double begin = now();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | (has(argc, argv, "direct") ? O_DIRECT : 0), 0600);
    if (fd < 0)
        fail(path);
    if (count > 1 && ftruncate(fd, size) < 0)
        fail("ftruncate");
    for (unsigned i = 0; i < count; i++) {
        off_t part = size / count;
        writers[i] = (struct writer){.fd = fd, .block = block, .from = part * i, .to = part * (i + 1)};
        if (count > 1 && pthread_create(&writers[i].thread, NULL, write_part, &writers[i]) != 0)
            fail("thread");
    }
    if (count == 1)
        write_part(&writers[0]);
    for (unsigned i = 0; count > 1 && i < count; i++)
        pthread_join(writers[i].thread, NULL);
    double written = now();
    if (has(argc, argv, "fsync") && fsync(fd) < 0)
        fail("fsync");
    double synced = now();
    if (close(fd) < 0)
        fail("close");
    printf("%.6f %.6f %.6f\n", written - begin, synced - written, now() - synced);
}

/* ---- everything else ---- */

static void read_file(const char *path, size_t block, int argc, char **argv)
{
    unsigned char *buf = make_block(block);
    ssize_t n;

    double begin = now();
    int fd = open(path, O_RDONLY | (has(argc, argv, "direct") ? O_DIRECT : 0));
    if (fd < 0)
        fail(path);
    while ((n = read(fd, buf, block)) > 0)
        continue;
    if (n < 0 || close(fd) < 0)
        fail("read");
    printf("%.6f\n", now() - begin);
    free(buf);
}

static void look(const char *dir, int count, int rounds, bool opens)
{
    char path[4096], byte;
    struct stat st;

    double begin = now();
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            snprintf(path, sizeof path, "%s/image.%d", dir, i);
            int fd = opens ? open(path, O_RDONLY) : -1;
            if (opens ? fd < 0 || read(fd, &byte, 1) != 1 || close(fd) < 0 : stat(path, &st) < 0)
                fail(path);
        }
    }
    printf("%.6f\n", now() - begin);
}

static bool open_once(const char *path, const char *how)
{
    if (strcmp(how, "fopen") == 0) {
        FILE *file = fopen(path, "r");
        return file && fclose(file) == 0;
    }
    int fd = open(path, strcmp(how, "write") == 0 ? O_WRONLY : O_RDONLY);
    return fd >= 0 && close(fd) == 0;
}

static void open_often(const char *path, int count, const char *how)
{
    double begin = now();
    for (int i = 0; i < count; i++)
        if (!open_once(path, how))
            fail(path);
    printf("%.6f\n", now() - begin);
}

static void must(bool done, const char *what)
{
    if (!done)
        fail(what);
}

static bool is_named(int dir, const char *name, int fd)
{
    struct stat by_name, by_fd;

    return fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &by_fd) == 0 &&
           by_name.st_ino == by_fd.st_ino;
}

/* What a save of 4 KiB can not do without, done by the program itself, with nothing around it; a record and a seal of
 * the sizes that ours have. */
static void save_by_hand(const char *root, const char *name, const unsigned char *block)
{
    char draft[64], record[160], seal[246], content[8192];
    struct ss_sha256 header, whole;
    struct statfs room;
    struct stat st;

    memset(record, 'r', sizeof record);
    memset(seal, 's', sizeof seal);
    int dir = open(root, O_RDONLY | O_DIRECTORY); /* now, for it may be another one by the next save */
    must(dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT, name);
    snprintf(draft, sizeof draft, ".new.%.50s", name);
    int fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
    must(fd >= 0 && fsetxattr(fd, "user.record", record, sizeof record, 0) == 0, "the record");
    int witness = openat(dir, draft, O_RDONLY); /* hears of every write-back error */
    must(witness >= 0 && write(fd, block, 4096) == 4096 && close(fd) == 0, "the content");

    int judge = openat(dir, draft, O_RDONLY | O_NOATIME); /* not shared with any child */
    must(judge >= 0 && fcntl(judge, F_SETSIG, SIGURG) == 0 && fcntl(judge, F_SETLEASE, F_RDLCK) == 0, "the lease");
    must(flock(judge, LOCK_EX | LOCK_NB) == 0 && is_named(dir, draft, judge), "the lock");
    must(fgetxattr(judge, "user.record", record, sizeof record) == sizeof record, "the record");
    must(pread(judge, content, 4096, 0) == 4096 && fstatfs(judge, &room) == 0, "the content");
    must(ss_digest_of(content, 4096, &header) == 0 && ss_digest_verity_of(content, 4096, &whole) == 0, "digests");
    must(fsetxattr(judge, "user.seal", seal, sizeof seal, 0) == 0 && fsync(witness) == 0, "the seal");
    must(fcntl(judge, F_GETLEASE) == F_RDLCK && is_named(dir, draft, judge), "the lease");
    must(renameat2(dir, draft, dir, name, RENAME_NOREPLACE) == 0, "the name");
    must(fremovexattr(judge, "user.record") == 0 && fsync(dir) == 0, "the record");
    fcntl(judge, F_SETLEASE, F_UNLCK);
    flock(judge, LOCK_UN);
    close(judge);
    close(witness);
    close(dir);
}

static void make_small(const char *dir, int count, bool syncs, bool by_hand)
{
    char path[4096];
    unsigned char *block = make_block(4096);

    double begin = now();
    for (int i = 0; i < count; i++) {
        if (by_hand) {
            snprintf(path, sizeof path, "small.%d", i);
            save_by_hand(dir, path, block);
            continue;
        }
        snprintf(path, sizeof path, "%s/small.%d", dir, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || write(fd, block, 4096) != 4096 || (syncs && fsync(fd) < 0) || close(fd) < 0)
            fail(path);
    }
    printf("%.6f\n", now() - begin);
    free(block);
}

static void list(const char *path)
{
    unsigned long names = 0;

    double begin = now();
    DIR *dir = opendir(path);
    if (!dir)
        fail(path);
    while (readdir(dir))
        names++;
    closedir(dir);
    printf("%.6f %lu\n", now() - begin, names);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    if (strcmp(what, "write") == 0 && argc > 4)
        write_file(argv[2], (off_t)atol(argv[3]) << 20, (size_t)atol(argv[4]) << 10, argc - 5, argv + 5);
    else if (strcmp(what, "read") == 0 && argc > 3)
        read_file(argv[2], (size_t)atol(argv[3]) << 10, argc - 4, argv + 4);
    else if ((strcmp(what, "open") == 0 || strcmp(what, "stat") == 0) && argc == 5)
        look(argv[2], atoi(argv[3]), atoi(argv[4]), *what == 'o');
    else if (strcmp(what, "opens") == 0 && argc == 5)
        open_often(argv[2], atoi(argv[3]), argv[4]);
    else if (strcmp(what, "small") == 0 && argc > 3)
        make_small(argv[2], atoi(argv[3]), has(argc - 4, argv + 4, "fsync"), has(argc - 4, argv + 4, "by-hand"));
    else if (strcmp(what, "list") == 0)
        list(argv[2]);
    else {
        fputs("usage: io write|read|open|stat|opens|small|list ...\n", stderr);
        return 2;
    }
    return 0;
}
