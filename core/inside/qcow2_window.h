/* How often each cluster of a qcow2 image is used, and for what: for a window of clusters at a time, so that memory
 * does not grow with the image. */
#ifndef SAVESEAL_CORE_INSIDE_QCOW2_WINDOW_H
#define SAVESEAL_CORE_INSIDE_QCOW2_WINDOW_H

#include <stdint.h>

#include "qcow2.h"

#define SS_QCOW2_WINDOW (UINT64_C(1) << 21) /* clusters: 8 MiB of memory, 128 GiB of an image of the usual kind */

/* A cluster's word: how often it is used (the largest value stands for more, too), and bits. */
#define SS_QCOW2_USED 0x03ffffffU
#define SS_QCOW2_AS_DATA 0x04000000U
#define SS_QCOW2_AS_COMPRESSED 0x08000000U
#define SS_QCOW2_AS_L2 0x10000000U
#define SS_QCOW2_AS_OTHER 0x20000000U /* what is never shared: header, tables, lists */
#define SS_QCOW2_AS_ANY 0x3c000000U
#define SS_QCOW2_SAID_SINGLE 0x40000000U /* who uses it says that nobody else does */
#define SS_QCOW2_SAID_SHARED 0x80000000U /* or that somebody may */

struct ss_qcow2_window {
    uint32_t cluster_bits;
    uint64_t first, count; /* clusters */
    uint32_t *words;       /* count of them */
};

/* Notes that the clusters of a part are used times more often; bits as above. What is outside the window is left. */
void ss_qcow2_window_use(struct ss_qcow2_window *window, struct ss_qcow2_part part, uint32_t times, uint32_t bits);

struct ss_qcow2_counts {
    bool lenient;    /* in: counts that are too low are no damage, for the image says that they may be */
    bool outdated;   /* out: there are such */
    uint64_t leaked; /* out: clusters whose counts are too high are added */
};

/* Compares a window with the reference counts that the image has. Returns 0; -EBADMSG for a contradiction; or the
 * read's -errno. */
int ss_qcow2_window_compare(const struct ss_qcow2_window *window, struct ss_qcow2 *image,
                            struct ss_qcow2_counts *counts);

#endif
