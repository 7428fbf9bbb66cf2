#include "qcow2.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define MAGIC 0x514649fbU /* "QFI\xfb" */
#define HEADER_V2 72
#define HEADER_V3 104
#define EXTENSION_BITMAPS 0x23852875U
#define EXTENSION_BACKING_FORMAT 0xe2792acaU
#define EXTENSION_LUKS 0x0537be77U
#define EXTENSION_DATA_FILE 0x44415441U
#define FORMAT_NAME_MAX 15
#define BITMAPS_LEN 24

#define INCOMPATIBLE_CORRUPT 2U
#define INCOMPATIBLE_DATA_FILE 4U
#define INCOMPATIBLE_KNOWN 31U
#define AUTOCLEAR_BITMAPS 1U
#define AUTOCLEAR_RAW_DATA_FILE 2U

#define BITMAPS_MAX 65535U
#define DIRECTORY_MAX (UINT64_C(1024) * BITMAPS_MAX)
#define ENTRY_LEN 24U        /* of the directory, before extra data and name */
#define TABLE_MAX 0x8000000U /* entries */
#define TABLE_BYTES_MAX (UINT64_C(512) << 20)
#define IN_USE 1U
#define RECORDING 2U
#define DIRTY_TRACKING 1 /* the one type that there is */
#define GRANULARITY_MIN 9
#define GRANULARITY_MAX 31
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define ALL_ONES 1U

static uint16_t get16(const unsigned char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return be16toh(value);
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

__attribute__((format(printf, 2, 3))) static int broken(struct ss_qcow2 *image, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(image->why, sizeof image->why, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

static bool in_file(const struct ss_qcow2 *image, uint64_t offset, uint64_t len)
{
    return offset <= image->file_size && len <= image->file_size - offset;
}

static int read_at(struct ss_qcow2 *image, void *buf, size_t len, uint64_t offset)
{
    if (!in_file(image, offset, len))
        return broken(image, "the file ends before offset %" PRIu64, offset + len);
    ssize_t n = ss_pread_full(image->fd, buf, len, (off_t)offset);
    if (n < 0)
        return (int)n;
    return (size_t)n < len ? broken(image, "the file became shorter") : 0;
}

static uint64_t cluster_size(const struct ss_qcow2 *image)
{
    return UINT64_C(1) << image->cluster_bits;
}

static bool is_cluster(const struct ss_qcow2 *image, uint64_t offset)
{
    return offset > 0 && offset % cluster_size(image) == 0;
}

static int read_bitmaps_extension(struct ss_qcow2 *image, uint64_t offset, uint32_t len)
{
    unsigned char data[BITMAPS_LEN];

    if (len != BITMAPS_LEN)
        return broken(image, "its list of bitmaps is described in %" PRIu32 " bytes, not %d", len, BITMAPS_LEN);
    int r = read_at(image, data, sizeof data, offset);
    if (r < 0)
        return r;
    image->has_bitmaps = true;
    image->bitmap_count = get32(data);
    image->directory_size = get64(data + 8);
    image->directory_offset = get64(data + 16);
    if (image->bitmap_count == 0 || image->bitmap_count > BITMAPS_MAX || get32(data + 4) != 0 ||
        image->directory_size > DIRECTORY_MAX || !is_cluster(image, image->directory_offset) ||
        !in_file(image, image->directory_offset, image->directory_size))
        return broken(image, "where its bitmaps are does not make sense");
    return 0;
}

static int read_backing_format(struct ss_qcow2 *image, uint64_t offset, uint32_t len)
{
    char name[FORMAT_NAME_MAX + 1] = "";

    if (len > FORMAT_NAME_MAX)
        return broken(image, "the format of its backing file has no name");
    int r = read_at(image, name, len, offset);
    image->backing_is_foreign = strcmp(name, "qcow2") != 0;
    return r;
}

static int read_extension(struct ss_qcow2 *image, uint32_t type, uint64_t offset, uint32_t len)
{
    switch (type) {
    case EXTENSION_BITMAPS:
        return read_bitmaps_extension(image, offset, len);
    case EXTENSION_BACKING_FORMAT:
        return read_backing_format(image, offset, len);
    case EXTENSION_LUKS:
        image->has_luks = true;
        return 0;
    case EXTENSION_DATA_FILE:
        image->has_data_file = true;
        return 0;
    default:
        return 0;
    }
}

/* Header extensions follow the header within the first cluster, before the name of a backing file. */
static int read_extensions(struct ss_qcow2 *image, uint64_t offset, uint64_t end)
{
    unsigned char head[8];

    if (end == 0)
        end = cluster_size(image);
    if (offset > end)
        return broken(image, "the name of its backing file is in its header");
    while (offset + sizeof head <= end && in_file(image, offset, sizeof head)) {
        int r = read_at(image, head, sizeof head, offset);
        if (r < 0)
            return r;
        uint32_t type = get32(head), len = get32(head + 4);
        offset += sizeof head;
        if (type == 0)
            return 0;
        if (len > end - offset)
            return broken(image, "an extension of its header is longer than its cluster");
        r = read_extension(image, type, offset, len);
        if (r < 0)
            return r;
        offset += ((uint64_t)len + 7) / 8 * 8;
    }
    return 0;
}

/* ---- what QEMU refuses to open ---- */

#define L1_BYTES_MAX (UINT64_C(32) << 20)
#define REFCOUNT_TABLE_BYTES_MAX (UINT64_C(8) << 20)
#define SNAPSHOTS_MAX 65536U
#define SNAPSHOT_LEN 40U /* before extra data, id and name */
#define REFCOUNT_ORDER_MAX 6
#define CRYPT_LUKS 2
#define SNAPSHOT_EXTRA_MAX 1024U
#define SNAPSHOTS_BYTES_MAX (UINT64_C(64) << 20)
#define EXTENDED_L2_CLUSTER_BITS_MIN 14
#define INCOMPATIBLE_COMPRESSION 8U
#define INCOMPATIBLE_EXTENDED_L2 16U

static int check_backing(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t offset = get64(head + 8);
    uint32_t len = get32(head + 16);

    if (offset > cluster_size(image) ||
        (offset > 0 && (len > SS_QCOW2_BACKING_NAME_MAX || len > cluster_size(image) - offset)))
        return broken(image, "the name of its backing file is not in its header");
    image->backing_offset = offset;
    image->backing_len = len;
    return 0;
}

/* The table of tables that say where data is. */
static int check_l1(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t size = get32(head + 36), offset = get64(head + 40);
    uint64_t entry = image->incompatible & INCOMPATIBLE_EXTENDED_L2 ? 16 : 8;
    uint64_t covered = cluster_size(image) * (cluster_size(image) / entry); /* by one entry */
    uint64_t needed = image->virtual_size / covered + (image->virtual_size % covered > 0);

    if (size < needed || size * 8 > L1_BYTES_MAX || offset % cluster_size(image) != 0 ||
        !in_file(image, offset, size * 8) || image->virtual_size > INT64_MAX)
        return broken(image, "the table of its data is not of its size, or not in the file");
    return 0;
}

static int check_refcounts(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t offset = get64(head + 48), size = (uint64_t)get32(head + 56) * cluster_size(image);

    if (!is_cluster(image, offset) || size == 0 || size > REFCOUNT_TABLE_BYTES_MAX || !in_file(image, offset, size))
        return broken(image, "its table of reference counts is not in the file");
    return 0;
}

static int check_snapshots(struct ss_qcow2 *image, const unsigned char *head)
{
    uint32_t count = get32(head + 60);
    uint64_t offset = get64(head + 64), begin = offset;
    unsigned char entry[SNAPSHOT_LEN] = {0};

    if (count > SNAPSHOTS_MAX || offset > INT64_MAX || offset % cluster_size(image) != 0 || (count > 0 && offset == 0))
        return broken(image, "its list of snapshots is not in the file");
    for (uint32_t i = 0; i < count; i++) {
        int r = read_at(image, entry, sizeof entry, offset);
        if (r < 0)
            return r;
        uint64_t len = SNAPSHOT_LEN + (uint64_t)get32(entry + 36) + get16(entry + 12) + get16(entry + 14);
        if (get64(entry) % cluster_size(image) != 0 || get32(entry + 36) > SNAPSHOT_EXTRA_MAX ||
            !in_file(image, offset, len) || offset + len - begin > SNAPSHOTS_BYTES_MAX)
            return broken(image, "its list of snapshots is broken");
        offset += (len + 7) / 8 * 8;
    }
    return 0;
}

/* What only version 3 has. */
static int check_version3(struct ss_qcow2 *image, const unsigned char *head, uint32_t header_len)
{
    unsigned compression = header_len > HEADER_V3 ? head[HEADER_V3] : 0;

    if (header_len < HEADER_V3 || header_len % 8 != 0 || header_len > cluster_size(image))
        return broken(image, "its header can not be %" PRIu32 " bytes long", header_len);
    if (image->incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN)
        return broken(image, "it needs features that are not known");
    if (get32(head + 96) > REFCOUNT_ORDER_MAX || compression > 1 ||
        (compression > 0) != ((image->incompatible & INCOMPATIBLE_COMPRESSION) > 0) ||
        ((image->incompatible & INCOMPATIBLE_EXTENDED_L2) && image->cluster_bits < EXTENDED_L2_CLUSTER_BITS_MIN))
        return broken(image, "its header does not make sense");
    return 0;
}

static int check_tables(struct ss_qcow2 *image, const unsigned char *head)
{
    int r = get32(head + 32) > CRYPT_LUKS ? broken(image, "its encryption is not known") : 0;

    if (r == 0)
        r = check_backing(image, head);
    if (r == 0)
        r = check_l1(image, head);
    if (r == 0)
        r = check_refcounts(image, head);
    return r < 0 ? r : check_snapshots(image, head);
}

int ss_qcow2_open(int fd, uint64_t size, struct ss_qcow2 *image)
{
    unsigned char head[HEADER_V3 + 8] = {0};

    *image = (struct ss_qcow2){.fd = fd, .file_size = size};
    ssize_t n = ss_pread_full(fd, head, sizeof head, 0);
    if (n < 0)
        return (int)n;
    if (n < 8 || get32(head) != MAGIC)
        return -EINVAL;
    image->version = get32(head + 4);
    if (image->version < 2 || image->version > 3)
        return broken(image, "version %" PRIu32 " is not known", image->version);
    if (n < (image->version == 2 ? HEADER_V2 : HEADER_V3))
        return broken(image, "the file ends inside its header");
    image->cluster_bits = get32(head + 20);
    image->virtual_size = get64(head + 24);
    if (image->cluster_bits < 9 || image->cluster_bits > 21)
        return broken(image, "clusters of 2^%" PRIu32 " bytes are not possible", image->cluster_bits);
    if (image->version == 2)
        return check_tables(image, head); /* it knows no bitmaps */
    uint32_t header_len = get32(head + 100);
    image->incompatible = get64(head + 72);
    image->autoclear = get64(head + 88);
    int r = check_version3(image, head, header_len);
    if (r == 0)
        r = check_tables(image, head);
    if (r == 0)
        r = read_extensions(image, header_len, image->backing_offset);
    if (r == 0 && get32(head + 32) == CRYPT_LUKS && !image->has_luks)
        r = broken(image, "its header of encryption is missing");
    if (r == 0 && (image->incompatible & INCOMPATIBLE_DATA_FILE) && !image->has_data_file)
        r = broken(image, "the name of its data file is missing");
    if (r == 0 && (image->autoclear & AUTOCLEAR_RAW_DATA_FILE) && !(image->incompatible & INCOMPATIBLE_DATA_FILE))
        r = broken(image, "it is to have a data file, and has none");
    return r;
}

int ss_qcow2_backing(struct ss_qcow2 *image, char name[SS_QCOW2_BACKING_NAME_MAX + 1])
{
    size_t len = image->backing_offset > 0 ? image->backing_len : 0;

    name[len] = '\0';
    return read_at(image, name, len, image->backing_offset);
}

/* ---- bitmaps ---- */

struct entry {
    uint64_t table_offset;
    uint32_t table_size, flags, extra_size;
    uint8_t type, granularity_bits;
};

/* The entries of a bitmap's table: where its clusters are. */
static int check_table(struct ss_qcow2 *image, const struct entry *entry)
{
    unsigned char block[4096];
    uint64_t left = (uint64_t)entry->table_size * 8, offset = entry->table_offset;

    for (size_t len; left > 0; left -= len, offset += len) {
        len = left < sizeof block ? (size_t)left : sizeof block;
        int r = read_at(image, block, len, offset);
        if (r < 0)
            return r;
        for (size_t at = 0; at < len; at += 8) {
            uint64_t value = get64(block + at), cluster = value & OFFSET_MASK;
            if ((value & ~(OFFSET_MASK | ALL_ONES)) || (cluster && (value & ALL_ONES)) ||
                (cluster && (!is_cluster(image, cluster) || !in_file(image, cluster, cluster_size(image)))))
                return broken(image, "a bitmap's table points to what is not in the file");
        }
    }
    return 0;
}

/* What QEMU demands of every bitmap, or it does not open the image. */
static int check_entry(struct ss_qcow2 *image, const struct entry *entry)
{
    const uint64_t granularity = UINT64_C(1) << (entry->granularity_bits & 63); /* bytes: what a bit stands for */

    if (entry->type != DIRTY_TRACKING || (entry->flags & ~(IN_USE | RECORDING)) || entry->extra_size > 0 ||
        entry->granularity_bits < GRANULARITY_MIN || entry->granularity_bits > GRANULARITY_MAX ||
        entry->table_size == 0 || entry->table_size > TABLE_MAX || !is_cluster(image, entry->table_offset))
        return broken(image, "an entry of its list of bitmaps does not make sense");
    if (entry->flags & IN_USE)
        return 0; /* what it holds is not looked at */
    uint64_t bits = image->virtual_size / granularity + (image->virtual_size % granularity > 0);
    uint64_t bytes = (bits / 64 + (bits % 64 > 0)) * 8;
    uint64_t clusters = bytes / cluster_size(image) + (bytes % cluster_size(image) > 0);
    if (entry->table_size != clusters || bytes > TABLE_BYTES_MAX)
        return broken(image, "a bitmap's table is not of the disk's size");
    return check_table(image, entry);
}

static int read_entry(struct ss_qcow2 *image, uint64_t offset, uint64_t end, struct entry *entry,
                      char name[SS_QCOW2_BITMAP_NAME_MAX + 1], uint64_t *len)
{
    unsigned char bytes[ENTRY_LEN] = {0};

    if (end - offset < ENTRY_LEN)
        return broken(image, "the list of its bitmaps ends early");
    int r = read_at(image, bytes, sizeof bytes, offset);
    if (r < 0)
        return r;
    *entry = (struct entry){
        .table_offset = get64(bytes),
        .table_size = get32(bytes + 8),
        .flags = get32(bytes + 12),
        .type = bytes[16],
        .granularity_bits = bytes[17],
        .extra_size = get32(bytes + 20),
    };
    uint16_t name_size = get16(bytes + 18);
    *len = (ENTRY_LEN + (uint64_t)entry->extra_size + name_size + 7) / 8 * 8;
    if (name_size == 0 || name_size > SS_QCOW2_BITMAP_NAME_MAX || *len > end - offset)
        return broken(image, "the list of its bitmaps is broken");
    name[name_size] = '\0';
    return read_at(image, name, name_size, offset + ENTRY_LEN + entry->extra_size);
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

/* The directory is a list of entries of different sizes. All are checked: QEMU opens no image with one that is broken.
 * Returns 0 when the name is there, or -ENOENT. */
static int read_directory(struct ss_qcow2 *image, const char *name, uint64_t *hashes, struct entry *found)
{
    uint64_t offset = image->directory_offset, end = offset + image->directory_size, len = 0;
    char read[SS_QCOW2_BITMAP_NAME_MAX + 1] = "";
    int result = -ENOENT;

    for (uint32_t i = 0; i < image->bitmap_count; i++, offset += len) {
        struct entry entry = {0};
        int r = read_entry(image, offset, end, &entry, read, &len);
        if (r == 0)
            r = check_entry(image, &entry);
        if (r < 0)
            return r;
        hashes[i] = hash(read);
        if (strcmp(read, name) == 0) {
            *found = entry;
            result = 0;
        }
    }
    if (offset != end)
        return broken(image, "the list of its bitmaps is longer than it says");
    int r = check_names(image, hashes);
    return r < 0 ? r : result;
}

int ss_qcow2_check_bitmap(struct ss_qcow2 *image, const char *name)
{
    struct entry entry = {0};

    if (image->incompatible & INCOMPATIBLE_CORRUPT)
        return broken(image, "the image is marked as corrupt");
    if (!image->has_bitmaps)
        return -ENOENT;
    if (!(image->autoclear & AUTOCLEAR_BITMAPS))
        return broken(image, "a program that knows no bitmaps has written to the image");
    SS_AUTO_FREE uint64_t *hashes = calloc(image->bitmap_count, sizeof *hashes);
    if (!hashes)
        return -ENOMEM;
    int r = read_directory(image, name, hashes, &entry);
    if (r == 0 && (entry.flags & IN_USE))
        r = broken(image, "it was not saved: the machine that used the disk did not end cleanly, or still runs");
    if (r == 0 && !(entry.flags & RECORDING))
        r = broken(image, "it records no changes");
    return r;
}

/* QEMU's file-posix driver: permissions are locks on single bytes from 100 and from 200 on. */
#define QEMU_LOCKS 100
#define QEMU_LOCKS_LEN 200

bool ss_qcow2_is_in_use(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_LOCKS, .l_len = QEMU_LOCKS_LEN};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
