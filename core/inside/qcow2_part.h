/* For the files of qcow2 alone: reading it, and saying what is wrong with it. */
#ifndef SAVESEAL_CORE_INSIDE_QCOW2_PART_H
#define SAVESEAL_CORE_INSIDE_QCOW2_PART_H

#include "qcow2.h"

#include <stddef.h>

#define SS_QCOW2_OFFSET UINT64_C(0x00fffffffffffe00) /* of an entry of most tables */

/* Notes what is wrong. Returns -EBADMSG. */
int ss_qcow2_broken(struct ss_qcow2 *image, enum ss_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads a part that has to be there. Returns 0; -EBADMSG when the file ends before; or the read's -errno. */
int ss_qcow2_read(struct ss_qcow2 *image, void *buf, size_t len, uint64_t offset);

static inline uint64_t ss_qcow2_cluster_size(const struct ss_qcow2 *image)
{
    return UINT64_C(1) << image->cluster_bits;
}

/* Does the file have the part? */
static inline bool ss_qcow2_holds(const struct ss_qcow2 *image, uint64_t offset, uint64_t len)
{
    return offset <= image->file_size && len <= image->file_size - offset;
}

/* Does a cluster other than the header's begin there? */
static inline bool ss_qcow2_is_cluster(const struct ss_qcow2 *image, uint64_t offset)
{
    return offset > 0 && offset % ss_qcow2_cluster_size(image) == 0;
}

/* Bytes that one entry of an L2 table takes. */
static inline uint32_t ss_qcow2_l2_entry(const struct ss_qcow2 *image)
{
    return image->incompatible & SS_QCOW2_EXTENDED_L2 ? 16 : 8;
}

/* One snapshot of the list. */
struct ss_qcow2_snapshot {
    struct ss_qcow2_part l1; /* of any offset and length */
    uint32_t extra;          /* bytes of what only newer versions write */
};

/* Reads the snapshot at *offset, and moves that to the next one. Returns 0, -EBADMSG, or the read's -errno. */
int ss_qcow2_read_snapshot(struct ss_qcow2 *image, uint64_t *offset, struct ss_qcow2_snapshot *snapshot);

/* One bitmap of the directory. */
struct ss_qcow2_bitmap {
    struct ss_qcow2_part table; /* of clusters; within the file only if the bitmap was saved */
    uint32_t flags, extra;
    uint8_t type, granularity_bits;
    char name[SS_QCOW2_BITMAP_NAME_MAX + 1];
};

#define SS_QCOW2_BITMAP_IN_USE 1U
#define SS_QCOW2_BITMAP_RECORDING 2U

/* Reads the whole directory, and checks each bitmap: QEMU opens no image with one that is broken. each is called for
 * every one; what it returns other than 0 ends it. Returns 0, -EBADMSG, -ENOMEM, each's value, or the read's -errno. */
int ss_qcow2_each_bitmap(struct ss_qcow2 *image, int (*each)(void *context, const struct ss_qcow2_bitmap *bitmap),
                         void *context);

/* Does the image have bitmaps that count? */
static inline bool ss_qcow2_counts_bitmaps(const struct ss_qcow2 *image)
{
    return image->has_bitmaps && image->autoclear & SS_QCOW2_BITMAPS;
}

#endif
