/* The persistent bitmaps of a qcow2 image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "qcow2_part.h"

#define ENTRY_LEN 24U        /* of the directory, before extra data and name */
#define TABLE_MAX 0x8000000U /* entries */
#define TABLE_BYTES_MAX (UINT64_C(512) << 20)
#define DIRTY_TRACKING 1 /* the one type that there is */
#define GRANULARITY_MIN 9
#define GRANULARITY_MAX 31
#define ALL_ONES 1U

static int broken(struct ss_qcow2 *image, const char *why)
{
    return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "%s", why);
}

/* The entries of a bitmap's table: where its clusters are. */
static int check_table(struct ss_qcow2 *image, const struct ss_qcow2_bitmap *bitmap)
{
    unsigned char block[4096];
    uint64_t left = bitmap->table.len, offset = bitmap->table.offset;

    for (size_t len; left > 0; left -= len, offset += len) {
        len = left < sizeof block ? (size_t)left : sizeof block;
        int r = ss_qcow2_read(image, block, len, offset);
        if (r < 0)
            return r;
        for (size_t at = 0; at < len; at += 8) {
            uint64_t value = ss_be64(block + at), cluster = value & SS_QCOW2_OFFSET;
            if ((value & ~(SS_QCOW2_OFFSET | ALL_ONES)) || (cluster && (value & ALL_ONES)) ||
                (cluster && (!ss_qcow2_is_cluster(image, cluster) ||
                             !ss_qcow2_holds(image, cluster, ss_qcow2_cluster_size(image)))))
                return broken(image, "a bitmap's table points to what is not in the file");
        }
    }
    return 0;
}

/* What QEMU demands of every bitmap, or it does not open the image. */
static int check_entry(struct ss_qcow2 *image, const struct ss_qcow2_bitmap *bitmap)
{
    const uint64_t granularity = UINT64_C(1) << (bitmap->granularity_bits & 63); /* bytes: what a bit stands for */
    const uint64_t cluster_size = ss_qcow2_cluster_size(image);

    if (bitmap->type != DIRTY_TRACKING || (bitmap->flags & ~(SS_QCOW2_BITMAP_IN_USE | SS_QCOW2_BITMAP_RECORDING)) ||
        bitmap->extra > 0 || bitmap->granularity_bits < GRANULARITY_MIN || bitmap->granularity_bits > GRANULARITY_MAX ||
        bitmap->table.len == 0 || bitmap->table.len / 8 > TABLE_MAX ||
        !ss_qcow2_is_cluster(image, bitmap->table.offset))
        return broken(image, "an entry of its list of bitmaps does not make sense");
    if (bitmap->flags & SS_QCOW2_BITMAP_IN_USE)
        return 0; /* what it holds is not looked at */
    uint64_t bits = image->virtual_size / granularity + (image->virtual_size % granularity > 0);
    uint64_t bytes = (bits / 64 + (bits % 64 > 0)) * 8;
    uint64_t clusters = bytes / cluster_size + (bytes % cluster_size > 0);
    if (bitmap->table.len / 8 != clusters || bytes > TABLE_BYTES_MAX)
        return broken(image, "a bitmap's table is not of the disk's size");
    return check_table(image, bitmap);
}

static int read_entry(struct ss_qcow2 *image, uint64_t offset, uint64_t end, struct ss_qcow2_bitmap *bitmap,
                      uint64_t *len)
{
    unsigned char bytes[ENTRY_LEN] = {0};

    if (end - offset < ENTRY_LEN)
        return broken(image, "the list of its bitmaps ends early");
    int r = ss_qcow2_read(image, bytes, sizeof bytes, offset);
    if (r < 0)
        return r;
    bitmap->table = (struct ss_qcow2_part){.offset = ss_be64(bytes), .len = (uint64_t)ss_be32(bytes + 8) * 8};
    bitmap->flags = ss_be32(bytes + 12);
    bitmap->type = bytes[16];
    bitmap->granularity_bits = bytes[17];
    bitmap->extra = ss_be32(bytes + 20);
    uint16_t name_size = ss_be16(bytes + 18);
    *len = (ENTRY_LEN + (uint64_t)bitmap->extra + name_size + 7) / 8 * 8;
    if (name_size == 0 || name_size > SS_QCOW2_BITMAP_NAME_MAX || *len > end - offset)
        return broken(image, "the list of its bitmaps is broken");
    bitmap->name[name_size] = '\0';
    return ss_qcow2_read(image, bitmap->name, name_size, offset + ENTRY_LEN + bitmap->extra);
}

/* A name for comparison: two that are alike are taken for the same. */
static uint64_t hash(const char *name)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);

    for (; *name; name++)
        value = (value ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return value;
}

static int compare(const void *a, const void *b)
{
    uint64_t one, other;

    memcpy(&one, a, sizeof one);
    memcpy(&other, b, sizeof other);
    return (one > other) - (one < other);
}

static int check_names(struct ss_qcow2 *image, uint64_t *hashes)
{
    qsort(hashes, image->bitmap_count, sizeof *hashes, compare);
    for (uint32_t i = 1; i < image->bitmap_count; i++)
        if (hashes[i] == hashes[i - 1])
            return broken(image, "two of its bitmaps have the same name");
    return 0;
}

int ss_qcow2_each_bitmap(struct ss_qcow2 *image, int (*each)(void *context, const struct ss_qcow2_bitmap *bitmap),
                         void *context)
{
    uint64_t offset = image->directory.offset, end = offset + image->directory.len, len = 0;
    uint64_t tables = 0; /* bytes of all together */
    struct ss_qcow2_bitmap bitmap = {.flags = 0};

    SS_AUTO_FREE uint64_t *hashes = calloc(image->bitmap_count, sizeof *hashes);
    if (!hashes)
        return -ENOMEM;
    for (uint32_t i = 0; i < image->bitmap_count; i++, offset += len) {
        int r = read_entry(image, offset, end, &bitmap, &len);
        tables += bitmap.table.len;
        if (r == 0 && !(bitmap.flags & SS_QCOW2_BITMAP_IN_USE) && tables > image->file_size)
            r = broken(image, "its bitmaps' tables overlap"); /* and might be read without end */
        if (r == 0)
            r = check_entry(image, &bitmap);
        if (r == 0)
            r = each(context, &bitmap);
        if (r != 0)
            return r;
        hashes[i] = hash(bitmap.name);
    }
    if (offset != end)
        return broken(image, "the list of its bitmaps is longer than it says");
    return check_names(image, hashes);
}

struct search {
    const char *name;
    bool found;
    uint32_t flags;
};

static int look_at(void *context, const struct ss_qcow2_bitmap *bitmap)
{
    struct search *search = context;

    if (strcmp(bitmap->name, search->name) == 0) {
        search->found = true;
        search->flags = bitmap->flags;
    }
    return 0;
}

int ss_qcow2_check_bitmap(struct ss_qcow2 *image, const char *name)
{
    struct search search = {.name = name};

    if (image->incompatible & SS_QCOW2_CORRUPT)
        return broken(image, "the image is marked as corrupt");
    if (!image->has_bitmaps)
        return -ENOENT;
    if (!ss_qcow2_counts_bitmaps(image))
        return broken(image, "a program that knows no bitmaps has written to the image");
    int r = ss_qcow2_each_bitmap(image, look_at, &search);
    if (r < 0)
        return r;
    if (!search.found)
        return -ENOENT;
    if (search.flags & SS_QCOW2_BITMAP_IN_USE)
        return broken(image, "it was not saved: the machine that used the disk did not end cleanly, or still runs");
    if (!(search.flags & SS_QCOW2_BITMAP_RECORDING))
        return broken(image, "it records no changes");
    return 0;
}
