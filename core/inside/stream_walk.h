/* The beginning of QEMU's migration stream up to the end of the machine's memory: migration/savevm.c. What comes then,
 * the devices' states, carries no lengths. */
#ifndef SAVESEAL_CORE_INSIDE_STREAM_WALK_H
#define SAVESEAL_CORE_INSIDE_STREAM_WALK_H

#include "ram_section.h"

#define SS_STREAM_HEADER_LEN 8
#define SS_STREAM_PAGE_SIZE 4096 /* what a machine's page size is, if its stream does not say otherwise */

enum ss_stream_begin {
    SS_STREAM_BEGUN,
    SS_STREAM_ABSENT,     /* there is not one byte */
    SS_STREAM_CUT,        /* the header is not all there */
    SS_STREAM_ALIEN,      /* it is no such stream */
    SS_STREAM_VERSION,    /* one of another version */
    SS_STREAM_SECTIONLESS /* no section begins behind the header */
};

struct ss_stream_walk {
    uint32_t version;
    /* Machines since QEMU 2.4 name themselves first and end each section with a footer. */
    bool configured;
    char machine[128]; /* "pc-i440fx-7.2", or "" */
    bool open_end;     /* what follows the name is not all known here: the rest can not be walked */

    struct ss_ram ram;
};

/* Reads the header and the configuration. walk is all 0, but for what ss_ram has to be told (page_size 0: by the stream
 * itself, as far as it says). The flow's error has to be looked at, too. */
enum ss_stream_begin ss_stream_begin(struct ss_stream_walk *walk, struct ss_flow *flow);

/* Goes on to the end of the memory. */
enum ss_walk ss_stream_walk(struct ss_stream_walk *walk, struct ss_flow *flow);

#endif
