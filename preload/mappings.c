#include "mappings.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

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

/* Finds the first that begins at or behind from. */
static bool find(const struct ss_held *held, uintptr_t from, struct mapping *mapping)
{
    char line[PATH_MAX + 256];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");

    while (maps && !found && fgets(line, sizeof line, maps))
        found = read_mapping(held, line, mapping) && mapping->start >= from;
    if (maps)
        fclose(maps);
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
