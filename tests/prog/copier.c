/* copier NAME DIR: what somebody else sees under a name.
 *
 * Opens NAME over and over and reads all of it, as `cp` would. Each distinct content that it ever got is kept in DIR as
 * copy-SIZE-HASH, so that the caller can find out whether every one of them is a whole image. Each distinct size that
 * stat() told is a line "stat SIZE" on standard output; anything but a whole read or ENOENT is a line "trouble ...".
 *
 * SIGTERM ends it after one more round that began after the signal; that round's result is the line "last ...", so that
 * a caller who signals after a save returned learns whether the image was visible by then.
 * Exits 0, or 2 when it could not do its own work. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)
#define KEEP_MAX 8   /* copies kept: more distinct contents are a failure anyway, and need not fill the disk */
#define SEEN_MAX 256 /* distinct contents, and distinct sizes, told apart */

struct content {
    uint64_t hash, size;
};

struct copier {
    const char *name, *dir;
    char *buffer; /* the whole file; grows */
    size_t capacity;
    struct content seen[SEEN_MAX];
    uint64_t sizes[SEEN_MAX];
    size_t seen_count, sizes_count;
    uint64_t rounds, absent, whole, troubles;
};

/* SIGTERM stays blocked and is asked for between rounds: a handler would interrupt opens and reads with EINTR. */
static bool told_to_stop(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1;
}

static void die(const char *what)
{
    fprintf(stderr, "copier: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* FNV-1a, eight bytes a step: one byte a step is slower than the reading that it is to keep up with. */
static uint64_t hash_bytes(const char *bytes, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325), word;

    for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32; /* the multiplication carries upwards only */
    }
    for (; len > 0; bytes++, len--)
        hash = (hash ^ (unsigned char)*bytes) * UINT64_C(0x100000001b3);
    return hash;
}

static bool trouble(struct copier *c, const char *what, const char *why)
{
    if (c->troubles++ < 20) /* in a tight loop the same trouble comes thousands of times */
        printf("trouble %s: %s\n", what, why);
    return false;
}

static void note_size(struct copier *c, uint64_t size)
{
    for (size_t i = 0; i < c->sizes_count; i++)
        if (c->sizes[i] == size)
            return;
    if (c->sizes_count < SEEN_MAX) {
        c->sizes[c->sizes_count++] = size;
        printf("stat %" PRIu64 "\n", size);
    }
}

static void keep_copy(const struct copier *c, const struct content *content)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/copy-%" PRIu64 "-%016" PRIx64, c->dir, content->size, content->hash);
    file = fopen(path, "we");
    if (!file || fwrite(c->buffer, 1, content->size, file) != content->size || fclose(file) != 0)
        die(path);
}

static void note_content(struct copier *c, const struct content *content)
{
    for (size_t i = 0; i < c->seen_count; i++)
        if (c->seen[i].hash == content->hash && c->seen[i].size == content->size)
            return;
    if (c->seen_count == SEEN_MAX)
        return;
    if (c->seen_count < KEEP_MAX)
        keep_copy(c, content);
    c->seen[c->seen_count++] = *content;
}

/* Reads fd to its end into the buffer. Returns the length or -1 with errno set. */
static ssize_t read_all(struct copier *c, int fd)
{
    size_t done = 0;
    ssize_t n;

    do {
        if (c->capacity - done < CHUNK) {
            c->capacity += 64 * CHUNK;
            c->buffer = realloc(c->buffer, c->capacity);
            if (!c->buffer)
                die("realloc");
        }
        n = read(fd, c->buffer + done, CHUNK);
        done += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    return n < 0 ? -1 : (ssize_t)done;
}

/* Reads an open file and keeps what it got. Returns false when there was trouble. */
static bool copy_open_file(struct copier *c, int fd, struct content *content)
{
    struct stat before, after;
    ssize_t len;

    if (fstat(fd, &before) < 0)
        return trouble(c, "fstat", strerror(errno));
    note_size(c, (uint64_t)before.st_size);
    len = read_all(c, fd);
    if (len < 0)
        return trouble(c, "read", strerror(errno));
    content->size = (uint64_t)len;
    content->hash = hash_bytes(c->buffer, content->size);
    note_content(c, content);
    if (fstat(fd, &after) < 0 || after.st_size != before.st_size || len != before.st_size)
        return trouble(c, "size", "changed while the file was open");
    return true;
}

/* One round. Returns what was found, for the line "last". */
static const char *look(struct copier *c, struct content *content)
{
    bool whole;
    struct stat st;
    int fd;

    c->rounds++;
    if (stat(c->name, &st) == 0) /* asked by path as well: it need not agree with what an open finds */
        note_size(c, (uint64_t)st.st_size);
    else if (errno != ENOENT)
        trouble(c, "stat", strerror(errno));

    fd = open(c->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return c->absent++, "absent";
    whole = fd < 0 ? trouble(c, "open", strerror(errno)) : copy_open_file(c, fd, content);
    if (fd >= 0)
        close(fd);
    c->whole += whole;
    return whole ? "whole" : "trouble";
}

int main(int argc, char **argv)
{
    struct content content = {0, 0};
    struct copier c = {0};
    const char *last;
    sigset_t term;

    if (argc != 3)
        return fputs("usage: copier NAME DIR\n", stderr), 2;
    c.name = argv[1];
    c.dir = argv[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);

    while (!told_to_stop())
        look(&c, &content);
    content = (struct content){0, 0};
    last = look(&c, &content);

    printf("last %s copy-%" PRIu64 "-%016" PRIx64 "\n", last, content.size, content.hash);
    printf("rounds %" PRIu64 " absent %" PRIu64 " whole %" PRIu64 " trouble %" PRIu64 " distinct %zu\n", c.rounds,
           c.absent, c.whole, c.troubles, c.seen_count);
    free(c.buffer);
    return 0;
}
