/* The tables that a qcow2 image's clusters are found by. */
#ifndef SAVESEAL_CORE_INSIDE_QCOW2_TABLES_H
#define SAVESEAL_CORE_INSIDE_QCOW2_TABLES_H

#include "qcow2_part.h"

struct ss_qcow2_tables {
    uint32_t l1_count; /* the current one, and one a snapshot */
    struct ss_qcow2_part *l1;
    uint64_t l1_bytes; /* of them all: not more than the file has */
    uint64_t l2_count; /* entries that lead to L2 tables, not all to different ones */
    struct ss_qcow2_part *bitmaps;
    uint32_t bitmap_count;
    uint64_t bitmap_bytes; /* of their tables: the same */
};

/* Reads the lists of snapshots and bitmaps and all L1 tables and the reference count table, and checks each entry: what
 * it leads to is in the file. tables is to be freed, whatever is returned. Returns 0, -EBADMSG, -ENOMEM or the read's
 * -errno. each_bitmap, if not NULL, is told of the bitmaps. */
int ss_qcow2_tables_read(struct ss_qcow2 *image, struct ss_qcow2_tables *tables,
                         void (*each_bitmap)(void *context, const struct ss_qcow2_bitmap *bitmap), void *context);

void ss_qcow2_tables_free(struct ss_qcow2_tables *tables);

/* Calls each for all entries of a table that are not 0, with their place in it. What it returns other than 0 ends it.
 * Returns 0, -EBADMSG, each's value, or the read's -errno. */
int ss_qcow2_each_entry(struct ss_qcow2 *image, struct ss_qcow2_part table,
                        int (*each)(void *context, uint64_t entry, uint64_t place), void *context);

#endif
