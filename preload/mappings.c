#include "mappings.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct mapping {
    uintptr_t start, end;
    unsigned long offset;
    int protection;
};

/* Reads a line of /proc/self/maps. True when it is a shared mapping of the draft. */
static bool read_mapping(const struct ss_held *held, const char *line, struct mapping *mapping)
{
    unsigned long inode;
    char mode[5];

    if (sscanf(line, "%lx-%lx %4s %lx %*s %lu", &mapping->start, &mapping->end, mode, &mapping->offset, &inode) != 5 ||
        inode != held->ino || mode[3] != 's' || !strstr(line, held->name))
        return false;
    mapping->protection = (mode[0] == 'r' ? PROT_READ : 0) | (mode[1] == 'w' ? PROT_WRITE : 0);
    return true;
}

/* Lines of a file, without stdio: that has locks, and takes memory, and we may be in a child of _Fork or a handler. */
struct lines {
    int fd;
    size_t at, len;
    char buf[2 * PATH_MAX];
};

/* The next one, without its end; NULL behind the last. What is too long for any path is cut in pieces. */
static char *next_line(struct lines *lines)
{
    for (;;) {
        char *begin = lines->buf + lines->at;
        size_t rest = lines->len - lines->at;
        char *end = memchr(begin, '\n', rest);
        if (!end && lines->at == 0 && rest == sizeof lines->buf - 1)
            end = begin + rest;
        if (end) {
            *end = '\0';
            lines->at = (size_t)(end - lines->buf) + (end < lines->buf + lines->len);
            return begin;
        }
        memmove(lines->buf, begin, rest);
        lines->at = 0;
        lines->len = rest;
        ssize_t n = read(lines->fd, lines->buf + rest, sizeof lines->buf - 1 - rest);
        if (n <= 0)
            return NULL;
        lines->len += (size_t)n;
    }
}

/* Finds the first that begins at or behind from. */
static bool find(const struct ss_held *held, uintptr_t from, struct mapping *mapping)
{
    struct lines lines; /* its buffer is not cleared */
    const char *line;
    bool found = false;

    lines.at = lines.len = 0;
    lines.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (lines.fd >= 0 && !found && (line = next_line(&lines)))
        found = read_mapping(held, line, mapping) && mapping->start >= from;
    if (lines.fd >= 0)
        close(lines.fd);
    return found;
}

bool ss_mappings_any(const struct ss_held *held)
{
    struct mapping mapping;
    return find(held, 0, &mapping);
}

void ss_mappings_privatise(const struct ss_held *held)
{
    struct mapping mapping;

    /* Where that fails the mapping stays, and the draft will not be judged: nothing to be done here. */
    for (uintptr_t from = 0; find(held, from, &mapping); from = mapping.end)
        (void)mmap((void *)mapping.start, mapping.end - mapping.start, mapping.protection, MAP_PRIVATE | MAP_FIXED,
                   held->witness, (off_t)mapping.offset);
}
