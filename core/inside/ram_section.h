/* The machine's memory in QEMU's migration stream, the one section of it that can be read without the devices:
 * migration/ram.c. Every record says which page it is, and how long it is. */
#ifndef SAVESEAL_CORE_INSIDE_RAM_SECTION_H
#define SAVESEAL_CORE_INSIDE_RAM_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow.h"

/* How far it could be followed. Nothing but what QEMU itself never writes, and refuses to load, counts as damage. */
enum ss_walk {
    SS_WALK_GOOD,
    SS_WALK_LOST,    /* there is something that is not known here: nothing can be told from there on */
    SS_WALK_DAMAGED, /* with why */
    SS_WALK_NO_MEMORY
};

struct ss_ram_block {
    unsigned char len;
    char name[255];
    uint64_t used; /* bytes */
};

struct ss_ram {
    uint64_t start;      /* where the flow began in the file; only for mapped-ram */
    uint64_t file_size;  /* bytes; only for mapped-ram */
    bool want_mapped;    /* it has to be mapped-ram */
    bool has_addresses;  /* the list says where each block is: the capability x-ignore-shared */
    bool has_unknown;    /* there is a capability that is not known here, which may put anything anywhere */
    uint32_t page_size;  /* bytes, a power of two */
    bool page_size_told; /* by the description of the devices: pages have no other size */

    bool mapped;                 /* it is mapped-ram: pages have places of their own in the file */
    uint32_t map_version;        /* of a map that is not known here; or 0 */
    struct ss_ram_block *blocks; /* sorted when the list is through */
    size_t count;
    const struct ss_ram_block *last; /* the one whose pages come now */
    uint64_t total;                  /* bytes of all blocks */
    char why[200];
};

/* The members before the empty line are set, the rest is 0. */
void ss_ram_free(struct ss_ram *ram);

/* The first section: the list of blocks. */
enum ss_walk ss_ram_setup(struct ss_ram *ram, struct ss_flow *flow);

/* A later one: pages. Either ends behind the mark of the section's end. */
enum ss_walk ss_ram_pages(struct ss_ram *ram, struct ss_flow *flow);

/* Notes what is wrong, and how far in the stream. Returns SS_WALK_DAMAGED; SS_WALK_LOST after an error of the flow. */
enum ss_walk ss_ram_damage(struct ss_ram *ram, const struct ss_flow *flow, const char *what);

#endif
