#include "qcow2_window.h"

#include <errno.h>
#include <inttypes.h>

#include "bytes.h"
#include "qcow2_part.h"

#define PIECE 65536 /* bytes of reference counts that are read at a time */
#define BLOCK_OFFSET UINT64_C(0xfffffffffffffe00)

void ss_qcow2_window_use(struct ss_qcow2_window *window, struct ss_qcow2_part part, uint32_t times, uint32_t bits)
{
    if (part.len == 0)
        return;
    uint64_t first = part.offset >> window->cluster_bits, last = (part.offset + part.len - 1) >> window->cluster_bits;
    const uint64_t end = window->first + window->count;

    for (uint64_t i = first > window->first ? first : window->first; i <= last && i < end; i++) {
        uint32_t *word = &window->words[i - window->first], used = *word & SS_QCOW2_USED;
        used = times > SS_QCOW2_USED - used ? SS_QCOW2_USED : used + times;
        *word = (*word & ~SS_QCOW2_USED) | bits | used;
    }
}

/* The count number i of those in block. */
static uint64_t stored_count(const unsigned char *block, uint64_t i, uint32_t order)
{
    switch (order) {
    case 0:
        return block[i / 8] >> i % 8 & 1;
    case 1:
        return block[i / 4] >> 2 * (i % 4) & 3;
    case 2:
        return block[i / 2] >> 4 * (i % 2) & 15;
    case 3:
        return block[i];
    case 4:
        return ss_be16(block + 2 * i);
    case 5:
        return ss_be32(block + 4 * i);
    default:
        return ss_be64(block + 8 * i);
    }
}

static bool is_several(uint32_t word)
{
    const uint32_t as = word & SS_QCOW2_AS_ANY;

    return (as & (as - 1)) != 0 || (as & SS_QCOW2_AS_OTHER && (word & SS_QCOW2_USED) > 1);
}

static int compare_cluster(struct ss_qcow2 *image, uint64_t cluster, uint32_t word, uint64_t stored,
                           struct ss_qcow2_counts *counts)
{
    const uint64_t used = word & SS_QCOW2_USED, offset = cluster << image->cluster_bits;

    if (is_several(word))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED,
                               "what is at offset %" PRIu64 " is used as two things at once", offset);
    if (used == SS_QCOW2_USED && stored >= used)
        return ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED,
                               "what is at offset %" PRIu64 " is used more often than can be counted", offset);
    const bool wrongly_said =
        (stored == 1 && word & SS_QCOW2_SAID_SHARED) || (stored != 1 && word & SS_QCOW2_SAID_SINGLE);
    if (!counts->lenient && stored < used)
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED,
                               "what is at offset %" PRIu64 " is used %" PRIu64 " times, and counted %" PRIu64, offset,
                               used, stored);
    if (!counts->lenient && wrongly_said)
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED,
                               "what is at offset %" PRIu64 " is counted %" PRIu64 " times, and its table says %s",
                               offset, stored, stored == 1 ? "several" : "once");
    counts->outdated |= stored < used || wrongly_said;
    counts->leaked += stored > used;
    return 0;
}

/* count clusters from the first-th of the window on, whose counts begin at block; without block they are all 0. */
static int compare_piece(const struct ss_qcow2_window *window, struct ss_qcow2 *image, uint64_t first, uint64_t count,
                         const unsigned char *block, struct ss_qcow2_counts *counts)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word = window->words[first + i];
        uint64_t stored = block ? stored_count(block, i, image->refcount_order) : 0;
        if (word == 0 && stored == 0)
            continue;
        int r = compare_cluster(image, window->first + first + i, word, stored, counts);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Finds the block number index. Returns 0 with its offset, 0 if there is none; or as ss_qcow2_read(). */
static int find_block(struct ss_qcow2 *image, uint64_t index, uint64_t *offset)
{
    unsigned char entry[8];

    *offset = 0;
    if (index >= image->refcounts.len / 8)
        return 0;
    int r = ss_qcow2_read(image, entry, sizeof entry, image->refcounts.offset + index * 8);
    if (r == 0)
        *offset = ss_be64(entry) & BLOCK_OFFSET;
    return r;
}

int ss_qcow2_window_compare(const struct ss_qcow2_window *window, struct ss_qcow2 *image,
                            struct ss_qcow2_counts *counts)
{
    const uint64_t in_block = ss_qcow2_cluster_size(image) * 8 >> image->refcount_order;
    const uint64_t in_piece = (uint64_t)PIECE * 8 >> image->refcount_order;
    unsigned char piece[PIECE];

    for (uint64_t i = 0, n; i < window->count; i += n) {
        uint64_t cluster = window->first + i, at = cluster % in_block, block;
        n = in_block - at < in_piece ? in_block - at : in_piece;
        n = n < window->count - i ? n : window->count - i;
        int r = find_block(image, cluster / in_block, &block);
        if (r == 0 && block > 0) /* windows and pieces begin at whole bytes of the block */
            r = ss_qcow2_read(image, piece, (size_t)(((n << image->refcount_order) + 7) / 8),
                              block + (at << image->refcount_order) / 8);
        if (r == 0)
            r = compare_piece(window, image, i, n, block > 0 ? piece : NULL, counts);
        if (r < 0)
            return r;
    }
    return 0;
}
