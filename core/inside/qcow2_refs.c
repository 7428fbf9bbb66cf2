/* An image may be of any size, so the clusters are counted in windows: for each window all references are read, and
 * those that lead into it counted. L2 tables are many, and several L1 tables (of snapshots) may lead to one: so they
 * are counted first, in windows as well, and each is read once, in the order of the file, with all its references at a
 * time. Most images fit one window. */
#include "qcow2_refs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "qcow2_window.h"

#define PIECE 65536                 /* bytes of an L2 table that are read at a time */
#define STEP (UINT64_C(4) << 20)    /* bytes after which the job's owner is asked */
#define LISTS_MAX ((size_t)2 << 20) /* bytes of the lists of tables that there are already */
#define SLACK 0x1p30                /* bytes */
#define TIMES_MAX 4                 /* the file's size */
#define CLUSTERS_MAX INT32_MAX      /* as for QEMU */
#define COPIED (UINT64_C(1) << 63)  /* nobody else uses it */
#define COMPRESSED (UINT64_C(1) << 62)
#define ZERO UINT64_C(1)
#define RESERVED UINT64_C(0x3f000000000001fe)
#define SECTOR 512U
#define SUBCLUSTERS 32

/* Of the words that count L2 tables: */
#define L2_CURRENT 0x80000000U /* the current L1 table leads there, not only a snapshot's */
#define L2_TIMES 0x03ffffffU

/* An entry of an L2 table. */
struct entry {
    uint64_t value, subclusters;
    uint64_t table; /* offset */
    uint32_t index; /* in it */
    uint32_t times; /* that the table is referred to */
    bool current;
};

struct walk {
    const struct ss_job *job;
    struct ss_qcow2 *image;
    const struct ss_qcow2_tables *tables;
    struct ss_qcow2_refs *refs;
    struct ss_qcow2_window window, l2;
    bool in_current;          /* the L1 table that is being read is the current one */
    uint64_t read, step, all; /* bytes: so far, when the job's owner is asked next, in the end */
    struct {
        uint64_t needed; /* bytes of the last cluster, if it is shorter than a cluster */
        uint64_t table;  /* the L2 table that leads to it */
        uint32_t index;
    } tail;
    unsigned char piece[PIECE];
};

static int step(struct walk *walk, uint64_t bytes)
{
    walk->read += bytes;
    if (walk->read < walk->step)
        return 0;
    walk->step = walk->read + STEP;
    const double share = (double)walk->read / (double)(walk->all > walk->read ? walk->all : walk->read);
    return ss_job_step(walk->job, (uint64_t)(share * (double)walk->job->size));
}

static void use(struct walk *walk, uint64_t offset, uint64_t len, uint32_t bits)
{
    ss_qcow2_window_use(&walk->window, (struct ss_qcow2_part){.offset = offset, .len = len}, 1, bits);
}

static int bad_entry(struct walk *walk, const struct entry *entry, const char *what)
{
    return ss_qcow2_broken(walk->image, SS_STRUCTURE_DAMAGED,
                           "entry %" PRIu32 " of the L2 table at offset %" PRIu64 " %s", entry->index, entry->table,
                           what);
}

/* ---- what an L2 table leads to ---- */

static int count_compressed(struct walk *walk, const struct entry *entry)
{
    const uint32_t bits = walk->image->cluster_bits, shift = 62 - (bits - 8);
    const uint64_t offset = entry->value & ((UINT64_C(1) << shift) - 1);
    const uint64_t sectors = (entry->value >> shift & ((UINT64_C(1) << (bits - 8)) - 1)) + 1;
    const uint64_t len = sectors * SECTOR - offset % SECTOR;

    if (entry->value & COPIED || entry->subclusters || walk->image->incompatible & SS_QCOW2_DATA_FILE)
        return bad_entry(walk, entry, "says of compressed data what can not be");
    if (offset + len >= walk->image->file_size + SECTOR) /* of the last sector a part may be enough */
        return bad_entry(walk, entry, "leads to what is not in the file");
    walk->refs->unproven |= offset + len > walk->image->file_size;
    ss_qcow2_window_use(&walk->window, (struct ss_qcow2_part){.offset = offset, .len = len}, entry->times,
                        SS_QCOW2_AS_COMPRESSED);
    return 0;
}

/* How much of its cluster may have been written, as far as the entry tells. */
static uint64_t needed(const struct walk *walk, const struct entry *entry)
{
    const uint64_t cluster_size = ss_qcow2_cluster_size(walk->image);
    unsigned last = SUBCLUSTERS;

    if (!(walk->image->incompatible & SS_QCOW2_EXTENDED_L2))
        return entry->value & ZERO ? 0 : cluster_size;
    while (last > 0 && !(entry->subclusters >> (last - 1) & 1))
        last--;
    return cluster_size / SUBCLUSTERS * last;
}

static int count_data(struct walk *walk, const struct entry *entry, uint64_t offset)
{
    struct ss_qcow2 *image = walk->image;
    const uint64_t cluster_size = ss_qcow2_cluster_size(image);
    uint32_t bits = SS_QCOW2_AS_DATA;

    if (offset % cluster_size != 0)
        return bad_entry(walk, entry, "does not lead to the begin of a cluster");
    if (image->incompatible & SS_QCOW2_DATA_FILE)
        return entry->value & COPIED ? 0 : bad_entry(walk, entry, "shares what is in a data file");
    if (offset >= image->file_size)
        return bad_entry(walk, entry, "leads to what is not in the file");
    if (entry->current)
        bits |= entry->value & COPIED ? SS_QCOW2_SAID_SINGLE : SS_QCOW2_SAID_SHARED;
    ss_qcow2_window_use(&walk->window, (struct ss_qcow2_part){.offset = offset, .len = cluster_size}, entry->times,
                        bits);
    if (cluster_size > image->file_size - offset && walk->tail.table == 0) {
        walk->tail.needed = needed(walk, entry);
        walk->tail.table = entry->table;
        walk->tail.index = entry->index;
    }
    return 0;
}

static int count_entry(struct walk *walk, const struct entry *entry)
{
    struct ss_qcow2 *image = walk->image;
    const bool extended = image->incompatible & SS_QCOW2_EXTENDED_L2;
    const uint64_t offset = entry->value & SS_QCOW2_OFFSET;
    const uint64_t there = entry->subclusters & UINT32_MAX, zero = entry->subclusters >> 32;

    if (entry->value & COMPRESSED)
        return count_compressed(walk, entry);
    if (entry->value & (extended ? RESERVED | ZERO : RESERVED))
        return bad_entry(walk, entry, "has bits that have no meaning");
    if (entry->value & ZERO && image->version < 3)
        return bad_entry(walk, entry, "is of a kind that came with version 3");
    const bool is_first = image->incompatible & SS_QCOW2_DATA_FILE && entry->value & COPIED && !(entry->value & ZERO);
    if (offset == 0 && !is_first)
        return there ? bad_entry(walk, entry, "has data, and no place for it") : 0;
    if (there & zero)
        return bad_entry(walk, entry, "has what is data and zero at once");
    return count_data(walk, entry, offset);
}

/* One L2 table, whatever leads to it. */
static int count_table(struct walk *walk, uint64_t offset, uint32_t word)
{
    const uint64_t cluster_size = ss_qcow2_cluster_size(walk->image);
    const uint32_t entry_size = ss_qcow2_l2_entry(walk->image);
    struct entry entry = {.table = offset, .times = word & L2_TIMES, .current = word & L2_CURRENT};
    size_t len;

    if (walk->image->incompatible & SS_QCOW2_DATA_FILE && entry.times > 1)
        return bad_entry(walk, &entry, "is of a table that is used more than once");
    for (uint64_t done = 0; done < cluster_size; done += len) {
        len = cluster_size < PIECE ? (size_t)cluster_size : PIECE;
        int r = ss_qcow2_read(walk->image, walk->piece, len, offset + done);
        for (size_t at = 0; r == 0 && at < len; at += entry_size) {
            entry.value = ss_be64(walk->piece + at);
            entry.subclusters = entry_size > 8 ? ss_be64(walk->piece + at + 8) : 0;
            entry.index = (uint32_t)((done + at) / entry_size);
            if (entry.value != 0 || entry.subclusters != 0)
                r = count_entry(walk, &entry);
        }
        if (r == 0)
            r = step(walk, len);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- what the other tables lead to ---- */

static int count_l2(void *context, uint64_t entry, uint64_t place)
{
    struct walk *walk = context;
    uint32_t bits = SS_QCOW2_AS_L2;

    (void)place;
    if (walk->in_current)
        bits |= entry & COPIED ? SS_QCOW2_SAID_SINGLE : SS_QCOW2_SAID_SHARED;
    use(walk, entry & SS_QCOW2_OFFSET, ss_qcow2_cluster_size(walk->image), bits);
    return 0;
}

static int count_block(void *context, uint64_t entry, uint64_t place)
{
    struct walk *walk = context;

    (void)place;
    use(walk, entry, ss_qcow2_cluster_size(walk->image), SS_QCOW2_AS_OTHER);
    return 0;
}

static int count_bitmap(void *context, uint64_t entry, uint64_t place)
{
    struct walk *walk = context;

    (void)place;
    if (entry & SS_QCOW2_OFFSET)
        use(walk, entry & SS_QCOW2_OFFSET, ss_qcow2_cluster_size(walk->image), SS_QCOW2_AS_OTHER);
    return 0;
}

static int find_l2(void *context, uint64_t entry, uint64_t place)
{
    struct walk *walk = context;

    (void)place;
    ss_qcow2_window_use(&walk->l2, (struct ss_qcow2_part){.offset = entry & SS_QCOW2_OFFSET, .len = 1}, 1,
                        walk->in_current ? L2_CURRENT : 0);
    return 0;
}

static int each_l1(struct walk *walk, int (*each)(void *context, uint64_t entry, uint64_t place))
{
    for (uint32_t i = 0; i < walk->tables->l1_count; i++) {
        walk->in_current = i == 0;
        int r = ss_qcow2_each_entry(walk->image, walk->tables->l1[i], each, walk);
        if (r == 0)
            r = step(walk, walk->tables->l1[i].len);
        if (r < 0)
            return r;
    }
    return 0;
}

static int count_others(struct walk *walk)
{
    const struct ss_qcow2 *image = walk->image;
    const struct ss_qcow2_tables *tables = walk->tables;

    use(walk, 0, ss_qcow2_cluster_size(image), SS_QCOW2_AS_OTHER);
    use(walk, image->snapshots.offset, image->snapshots.len, SS_QCOW2_AS_OTHER);
    use(walk, image->refcounts.offset, image->refcounts.len, SS_QCOW2_AS_OTHER);
    use(walk, image->luks.offset, image->luks.len, SS_QCOW2_AS_OTHER);
    use(walk, image->directory.offset, image->directory.len, SS_QCOW2_AS_OTHER);
    for (uint32_t i = 0; i < tables->l1_count; i++)
        use(walk, tables->l1[i].offset, tables->l1[i].len, SS_QCOW2_AS_OTHER);
    int r = ss_qcow2_each_entry(walk->image, image->refcounts, count_block, walk);
    for (uint32_t i = 0; r == 0 && i < tables->bitmap_count; i++) {
        use(walk, tables->bitmaps[i].offset, tables->bitmaps[i].len, SS_QCOW2_AS_OTHER);
        r = ss_qcow2_each_entry(walk->image, tables->bitmaps[i], count_bitmap, walk);
    }
    return r < 0 ? r : each_l1(walk, count_l2);
}

/* ---- windows ---- */

static void place(struct ss_qcow2_window *window, uint64_t first, uint64_t clusters)
{
    window->first = first;
    window->count = clusters - first < SS_QCOW2_WINDOW ? clusters - first : SS_QCOW2_WINDOW;
    memset(window->words, 0, (size_t)window->count * sizeof *window->words);
}

static int count_tables(struct walk *walk, uint64_t clusters)
{
    for (uint64_t first = 0; first < clusters; first += SS_QCOW2_WINDOW) {
        place(&walk->l2, first, clusters);
        int r = step(walk, walk->l2.count * sizeof *walk->l2.words);
        if (r == 0)
            r = each_l1(walk, find_l2);
        for (uint64_t i = 0; r == 0 && i < walk->l2.count; i++)
            if (walk->l2.words[i])
                r = count_table(walk, (first + i) << walk->image->cluster_bits, walk->l2.words[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int count_windows(struct walk *walk, uint64_t clusters)
{
    struct ss_qcow2_counts counts = {.lenient = walk->image->incompatible & SS_QCOW2_DIRTY};

    for (uint64_t first = 0; first < clusters; first += SS_QCOW2_WINDOW) {
        place(&walk->window, first, clusters);
        int r = count_others(walk);
        if (r == 0)
            r = count_tables(walk, clusters);
        if (r == 0)
            r = ss_qcow2_window_compare(&walk->window, walk->image, &counts);
        if (r < 0)
            return r;
    }
    walk->refs->leaked = counts.leaked;
    walk->refs->outdated = counts.outdated;
    return 0;
}

/* ---- what needs to know where on the disk an entry is ---- */

/* In a data file each cluster is where it is on the disk. */
static int check_data_file(void *context, uint64_t entry, uint64_t index)
{
    struct walk *walk = context;
    const uint64_t cluster_size = ss_qcow2_cluster_size(walk->image), table = entry & SS_QCOW2_OFFSET;
    const uint32_t entry_size = ss_qcow2_l2_entry(walk->image);
    uint64_t offset = index * (cluster_size / entry_size) * cluster_size;
    size_t len;

    for (uint64_t done = 0; done < cluster_size; done += len) {
        len = cluster_size < PIECE ? (size_t)cluster_size : PIECE;
        int r = ss_qcow2_read(walk->image, walk->piece, len, table + done);
        if (r < 0)
            return r;
        for (size_t at = 0; at < len; at += entry_size, offset += cluster_size) {
            uint64_t value = ss_be64(walk->piece + at);
            bool is_there = value & SS_QCOW2_OFFSET || (value & COPIED && !(value & ZERO)); /* or at offset 0 */
            if (is_there && (value & SS_QCOW2_OFFSET) != offset)
                return ss_qcow2_broken(walk->image, SS_STRUCTURE_DAMAGED,
                                       "what is at %" PRIu64 " of the disk is elsewhere in the data file", offset);
        }
    }
    return step(walk, cluster_size);
}

/* The end of the disk may lie within the last cluster: then what is behind it need not be there. */
static int find_tail(void *context, uint64_t entry, uint64_t index)
{
    struct walk *walk = context;
    const uint64_t cluster_size = ss_qcow2_cluster_size(walk->image), disk = walk->image->virtual_size;

    if ((entry & SS_QCOW2_OFFSET) != walk->tail.table)
        return 0;
    const uint64_t at = (index * (cluster_size / ss_qcow2_l2_entry(walk->image)) + walk->tail.index) * cluster_size;
    if (at < disk && disk - at < walk->tail.needed)
        walk->tail.needed = disk - at;
    return 0;
}

static int check_places(struct walk *walk)
{
    int r = 0;

    if (walk->image->incompatible & SS_QCOW2_DATA_FILE)
        r = ss_qcow2_each_entry(walk->image, walk->tables->l1[0], check_data_file, walk);
    if (r == 0 && walk->tail.table > 0) {
        r = each_l1(walk, find_tail);
        walk->refs->unproven |= walk->tail.needed > walk->image->file_size % ss_qcow2_cluster_size(walk->image);
    }
    return r;
}

/* ---- all of it ---- */

/* How much will be read, and gone through in memory. False when it is too much for an image of the file's size: one
 * that is nearly all hole may claim a lot. */
static bool plan(struct walk *walk, uint64_t clusters)
{
    const struct ss_qcow2 *image = walk->image;
    const uint64_t whole_windows = clusters / SS_QCOW2_WINDOW;
    const double size = (double)image->file_size, windows = (double)whole_windows + 1;
    const double words = (double)(clusters < SS_QCOW2_WINDOW ? clusters : SS_QCOW2_WINDOW) * sizeof(uint32_t);
    const double others = (double)(walk->tables->bitmap_bytes + image->refcounts.len + walk->tables->l1_bytes);
    const double l2 = (double)walk->tables->l2_count * (double)ss_qcow2_cluster_size(image);
    const double in_window = words + others + windows * (words + (double)walk->tables->l1_bytes);
    const double all = windows * (in_window + (l2 < size ? l2 : size));

    if (clusters > CLUSTERS_MAX || all > size * TIMES_MAX + SLACK)
        return false;
    walk->all = (uint64_t)all;
    return true;
}

int ss_qcow2_refs_check(const struct ss_job *job, struct ss_qcow2 *image, const struct ss_qcow2_tables *tables,
                        struct ss_qcow2_refs *refs)
{
    const uint64_t clusters = ((image->file_size - 1) >> image->cluster_bits) + 1; /* there is a header */
    const size_t words = (size_t)(clusters < SS_QCOW2_WINDOW ? clusters : SS_QCOW2_WINDOW);

    *refs = (struct ss_qcow2_refs){.leaked = 0};
    int r = ss_job_reserve(job, LISTS_MAX + 2 * words * sizeof(uint32_t));
    if (r < 0)
        return r;
    SS_AUTO_FREE uint32_t *of_window = malloc(words * sizeof *of_window);
    SS_AUTO_FREE uint32_t *of_l2 = malloc(words * sizeof *of_l2);
    SS_AUTO_FREE struct walk *walk = malloc(sizeof *walk);
    if (!of_window || !of_l2 || !walk)
        return -ENOMEM;
    *walk = (struct walk){
        .job = job,
        .image = image,
        .tables = tables,
        .refs = refs,
        .window = {.cluster_bits = image->cluster_bits, .words = of_window},
        .l2 = {.cluster_bits = image->cluster_bits, .words = of_l2},
    };
    if (!plan(walk, clusters))
        return ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED, "it is too large for its clusters to be counted here");
    r = count_windows(walk, clusters);
    return r < 0 ? r : check_places(walk);
}
