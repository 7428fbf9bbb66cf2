#include "qcow2_tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bytes.h"
#include "core/util.h"

#define PIECE 65536 /* bytes of a table that are read at a time */
#define L1_BYTES_MAX (UINT64_C(32) << 20)
#define L1_RESERVED UINT64_C(0x7f000000000001ff)
#define BLOCK_RESERVED UINT64_C(0x1ff)
#define SNAPSHOT_EXTRA_V3 16U /* bytes */

static int broken(struct ss_qcow2 *image, const char *why)
{
    return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "%s", why);
}

int ss_qcow2_each_entry(struct ss_qcow2 *image, struct ss_qcow2_part table,
                        int (*each)(void *context, uint64_t entry, uint64_t place), void *context)
{
    unsigned char piece[PIECE];
    size_t len;

    for (uint64_t done = 0; done < table.len; done += len) {
        len = table.len - done < PIECE ? (size_t)(table.len - done) : PIECE;
        int r = ss_qcow2_read(image, piece, len, table.offset + done);
        for (size_t at = 0; r == 0 && at < len; at += 8) {
            uint64_t entry = ss_be64(piece + at);
            if (entry != 0)
                r = each(context, entry, (done + at) / 8);
        }
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- snapshots and their L1 tables ---- */

static int check_snapshot(struct ss_qcow2 *image, const struct ss_qcow2_snapshot *snapshot)
{
    if (image->incompatible & SS_QCOW2_DATA_FILE)
        return broken(image, "it has a data file, and snapshots");
    if (snapshot->l1.len > L1_BYTES_MAX || !ss_qcow2_holds(image, snapshot->l1.offset, snapshot->l1.len))
        return broken(image, "the table of a snapshot's data is not in the file");
    if (image->version >= 3 && snapshot->extra < SNAPSHOT_EXTRA_V3)
        return broken(image, "an entry of its list of snapshots is not complete");
    return 0;
}

static int read_snapshots(struct ss_qcow2 *image, struct ss_qcow2_tables *tables)
{
    uint64_t offset = image->snapshots.offset;

    tables->l1 = calloc((size_t)image->snapshot_count + 1, sizeof *tables->l1);
    if (!tables->l1)
        return -ENOMEM;
    tables->l1[tables->l1_count++] = image->l1;
    tables->l1_bytes = image->l1.len;
    for (uint32_t i = 0; i < image->snapshot_count; i++) {
        struct ss_qcow2_snapshot snapshot;
        int r = ss_qcow2_read_snapshot(image, &offset, &snapshot);
        if (r == 0)
            r = check_snapshot(image, &snapshot);
        if (r < 0)
            return r;
        tables->l1[tables->l1_count++] = snapshot.l1;
        tables->l1_bytes += snapshot.l1.len;
    }
    if (tables->l1_bytes > image->file_size) /* or they might be read without end */
        return broken(image, "the tables of its snapshots overlap");
    return 0;
}

struct check {
    struct ss_qcow2 *image;
    struct ss_qcow2_tables *tables;
    void (*each_bitmap)(void *context, const struct ss_qcow2_bitmap *bitmap);
    void *context;
};

static int check_l1_entry(void *context, uint64_t entry, uint64_t place)
{
    struct check *check = context;
    struct ss_qcow2 *image = check->image;
    const uint64_t offset = entry & SS_QCOW2_OFFSET;

    if (entry & L1_RESERVED || !ss_qcow2_is_cluster(image, offset))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "entry %" PRIu64 " of an L1 table does not make sense",
                               place);
    if (!ss_qcow2_holds(image, offset, ss_qcow2_cluster_size(image)))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "the L2 table at offset %" PRIu64 " is not in the file",
                               offset);
    check->tables->l2_count++;
    return 0;
}

static int check_block_entry(void *context, uint64_t entry, uint64_t place)
{
    struct check *check = context;
    struct ss_qcow2 *image = check->image;

    if (entry & BLOCK_RESERVED || !ss_qcow2_is_cluster(image, entry))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED,
                               "entry %" PRIu64 " of its table of reference counts does not make sense", place);
    if (!ss_qcow2_holds(image, entry, ss_qcow2_cluster_size(image)))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED,
                               "the reference counts at offset %" PRIu64 " are not in the file", entry);
    return 0;
}

/* ---- bitmaps ---- */

static int add_bitmap(void *context, const struct ss_qcow2_bitmap *bitmap)
{
    struct check *check = context;
    struct ss_qcow2_tables *tables = check->tables;

    tables->bitmap_bytes += bitmap->table.len;
    if (tables->bitmap_bytes > check->image->file_size ||
        !ss_qcow2_holds(check->image, bitmap->table.offset, bitmap->table.len))
        return broken(check->image, "a bitmap's table is not in the file");
    tables->bitmaps[tables->bitmap_count++] = bitmap->table;
    if (check->each_bitmap)
        check->each_bitmap(check->context, bitmap);
    return 0;
}

static int read_bitmaps(struct check *check)
{
    struct ss_qcow2 *image = check->image;

    if (!ss_qcow2_counts_bitmaps(image))
        return 0;
    check->tables->bitmaps = calloc(image->bitmap_count, sizeof *check->tables->bitmaps);
    return check->tables->bitmaps ? ss_qcow2_each_bitmap(image, add_bitmap, check) : -ENOMEM;
}

int ss_qcow2_tables_read(struct ss_qcow2 *image, struct ss_qcow2_tables *tables,
                         void (*each_bitmap)(void *context, const struct ss_qcow2_bitmap *bitmap), void *context)
{
    struct check check = {.image = image, .tables = tables, .each_bitmap = each_bitmap, .context = context};

    *tables = (struct ss_qcow2_tables){.l1_count = 0};
    int r = read_bitmaps(&check);
    if (r == 0)
        r = read_snapshots(image, tables);
    for (uint32_t i = 0; r == 0 && i < tables->l1_count; i++)
        r = ss_qcow2_each_entry(image, tables->l1[i], check_l1_entry, &check);
    if (r == 0)
        r = ss_qcow2_each_entry(image, image->refcounts, check_block_entry, &check);
    return r;
}

void ss_qcow2_tables_free(struct ss_qcow2_tables *tables)
{
    free(tables->l1);
    free(tables->bitmaps);
    *tables = (struct ss_qcow2_tables){.l1_count = 0};
}
