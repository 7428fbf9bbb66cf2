/* The header of the kdump-compressed format, of either width and byte order. */
#ifndef SAVESEAL_CORE_INSIDE_KDUMP_H
#define SAVESEAL_CORE_INSIDE_KDUMP_H

#include "job.h"

#define SS_KDUMP_HEADER_MAX 464 /* bytes of it that are read */
#define SS_KDUMP_INCOMPLETE 8U  /* in status: makedumpfile ran out of space */

struct ss_kdump_header {
    bool wide, big;
    uint32_t version, status, block_size;
    uint32_t sub_header_blocks, bitmap_blocks; /* both bitmaps together */
    uint32_t max_pages;                        /* of the old field, which a later one replaces */
    uint32_t cpus;
    char machine[66];
};

/* Reads the first len bytes of a dump. Returns false when they are no such header. */
bool ss_kdump_header(const unsigned char *bytes, size_t len, struct ss_kdump_header *header);

/* Adds what it says to the facts. */
void ss_kdump_tell(const struct ss_job *job, const struct ss_kdump_header *header);

#endif
