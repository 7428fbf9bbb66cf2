#include "qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "qcow2_part.h"

#define MAGIC 0x514649fbU /* "QFI\xfb" */
#define HEADER_V2 72
#define HEADER_V3 104
#define EXTENSION_BITMAPS 0x23852875U
#define EXTENSION_BACKING_FORMAT 0xe2792acaU
#define EXTENSION_LUKS 0x0537be77U
#define EXTENSION_DATA_FILE 0x44415441U
#define BITMAPS_LEN 24
#define STEP (UINT64_C(4) << 20) /* bytes after which the owner is asked */
#define READ_COST 256U           /* bytes that could be read in the time that a read takes */
#define LUKS_LEN 16
#define BITMAPS_MAX 65535U
#define DIRECTORY_MAX (UINT64_C(1024) * BITMAPS_MAX)

int ss_qcow2_broken(struct ss_qcow2 *image, enum ss_finding finding, const char *format, ...)
{
    va_list arguments;

    image->finding = finding;
    va_start(arguments, format);
    vsnprintf(image->why, sizeof image->why, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

int ss_qcow2_read(struct ss_qcow2 *image, void *buf, size_t len, uint64_t offset)
{
    if (!ss_qcow2_holds(image, offset, len))
        return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "the file ends before offset %" PRIu64, offset + len);
    image->unasked += len + READ_COST;
    if (image->step && image->unasked >= STEP) {
        image->unasked = 0;
        int r = image->step(image->context);
        if (r != 0)
            return r;
    }
    ssize_t n = ss_pread_full(image->fd, buf, len, (off_t)offset);
    if (n < 0)
        return (int)n;
    return (size_t)n < len ? ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "the file became shorter") : 0;
}

static int bad_header(struct ss_qcow2 *image, const char *why)
{
    return ss_qcow2_broken(image, SS_HEADER_DAMAGED, "%s", why);
}

static int bad_structure(struct ss_qcow2 *image, const char *why)
{
    return ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "%s", why);
}

/* ---- header extensions ---- */

static int read_bitmaps_extension(struct ss_qcow2 *image, uint64_t offset, uint32_t len)
{
    unsigned char data[BITMAPS_LEN];

    if (len != BITMAPS_LEN)
        return ss_qcow2_broken(image, SS_HEADER_DAMAGED,
                               "its list of bitmaps is described in %" PRIu32 " bytes, not %d", len, BITMAPS_LEN);
    image->has_bitmaps = true;
    if (!(image->autoclear & SS_QCOW2_BITMAPS))
        return 0; /* what it says counts no more */
    int r = ss_qcow2_read(image, data, sizeof data, offset);
    if (r < 0)
        return r;
    image->bitmap_count = ss_be32(data);
    image->directory = (struct ss_qcow2_part){.offset = ss_be64(data + 16), .len = ss_be64(data + 8)};
    if (image->bitmap_count == 0 || image->bitmap_count > BITMAPS_MAX || ss_be32(data + 4) != 0 ||
        image->directory.len > DIRECTORY_MAX || !ss_qcow2_is_cluster(image, image->directory.offset) ||
        !ss_qcow2_holds(image, image->directory.offset, image->directory.len))
        return bad_structure(image, "where its bitmaps are does not make sense");
    return 0;
}

static int read_backing_format(struct ss_qcow2 *image, uint64_t offset, uint32_t len)
{
    if (len > SS_QCOW2_FORMAT_NAME_MAX)
        return bad_header(image, "the format of its backing file has no name");
    int r = ss_qcow2_read(image, image->backing_format, len, offset);
    image->backing_is_foreign = strcmp(image->backing_format, "qcow2") != 0;
    return r;
}

static int read_luks_extension(struct ss_qcow2 *image, uint64_t offset, uint32_t len)
{
    unsigned char data[LUKS_LEN];

    if (len != LUKS_LEN || image->encryption != SS_QCOW2_LUKS)
        return bad_header(image, "the place of its encryption's header does not make sense");
    int r = ss_qcow2_read(image, data, sizeof data, offset);
    if (r < 0)
        return r;
    image->has_luks = true;
    image->luks = (struct ss_qcow2_part){.offset = ss_be64(data), .len = ss_be64(data + 8)};
    if (!ss_qcow2_is_cluster(image, image->luks.offset) || image->luks.len == 0 ||
        !ss_qcow2_holds(image, image->luks.offset, image->luks.len))
        return bad_structure(image, "its encryption's header is not in the file");
    return 0;
}

static int read_extension(struct ss_qcow2 *image, uint32_t type, uint64_t offset, uint32_t len)
{
    switch (type) {
    case EXTENSION_BITMAPS:
        return read_bitmaps_extension(image, offset, len);
    case EXTENSION_BACKING_FORMAT:
        return read_backing_format(image, offset, len);
    case EXTENSION_LUKS:
        return read_luks_extension(image, offset, len);
    case EXTENSION_DATA_FILE:
        image->has_data_file = true;
        image->data_file = (struct ss_qcow2_part){.offset = offset, .len = len};
        return 0;
    default:
        return 0;
    }
}

/* Header extensions follow the header within the first cluster, before the name of a backing file. */
static int read_extensions(struct ss_qcow2 *image, uint64_t offset)
{
    uint64_t end = image->backing.offset > 0 ? image->backing.offset : ss_qcow2_cluster_size(image);
    unsigned char head[8];

    if (offset > end)
        return bad_header(image, "the name of its backing file is in its header");
    while (offset + sizeof head <= end && ss_qcow2_holds(image, offset, sizeof head)) {
        int r = ss_qcow2_read(image, head, sizeof head, offset);
        if (r < 0)
            return r;
        uint32_t type = ss_be32(head), len = ss_be32(head + 4);
        offset += sizeof head;
        if (type == 0)
            return 0;
        if (len > end - offset)
            return bad_header(image, "an extension of its header is longer than its cluster");
        r = read_extension(image, type, offset, len);
        if (r < 0)
            return r;
        offset += ((uint64_t)len + 7) / 8 * 8;
    }
    return 0;
}

/* What the header and its extensions say of each other. */
static int check_extensions(struct ss_qcow2 *image)
{
    if (image->encryption == SS_QCOW2_LUKS && !image->has_luks)
        return bad_header(image, "its header of encryption is missing");
    if (image->incompatible & SS_QCOW2_DATA_FILE && !image->has_data_file)
        return bad_header(image, "the name of its data file is missing");
    if (image->autoclear & SS_QCOW2_RAW_DATA_FILE && !(image->incompatible & SS_QCOW2_DATA_FILE))
        return bad_header(image, "it is to have a data file, and has none");
    return 0;
}

/* ---- what QEMU refuses to open ---- */

#define L1_BYTES_MAX (UINT64_C(32) << 20)
#define REFCOUNT_TABLE_BYTES_MAX (UINT64_C(8) << 20)
#define SNAPSHOTS_MAX 65536U
#define SNAPSHOT_LEN 40U /* before extra data, id and name */
#define REFCOUNT_ORDER_MAX 6
#define REFCOUNT_ORDER_V2 4
#define SNAPSHOT_EXTRA_MAX 1024U
#define SNAPSHOTS_BYTES_MAX (UINT64_C(64) << 20)
#define EXTENDED_L2_CLUSTER_BITS_MIN 14

static int check_backing(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t offset = ss_be64(head + 8), cluster_size = ss_qcow2_cluster_size(image);
    uint32_t len = ss_be32(head + 16);

    if (offset > cluster_size || (offset > 0 && (len > SS_QCOW2_BACKING_NAME_MAX || len > cluster_size - offset)))
        return bad_header(image, "the name of its backing file is not in its header");
    image->backing = (struct ss_qcow2_part){.offset = offset, .len = len};
    return 0;
}

/* The table of tables that say where data is. */
static int check_l1(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t size = ss_be32(head + 36), offset = ss_be64(head + 40), cluster_size = ss_qcow2_cluster_size(image);
    uint64_t covered = cluster_size * (cluster_size / ss_qcow2_l2_entry(image)); /* by one entry */
    uint64_t needed = image->virtual_size / covered + (image->virtual_size % covered > 0);

    if (size < needed || size * 8 > L1_BYTES_MAX || offset % cluster_size != 0 ||
        !ss_qcow2_holds(image, offset, size * 8) || image->virtual_size > INT64_MAX)
        return bad_structure(image, "the table of its data is not of its size, or not in the file");
    image->l1 = (struct ss_qcow2_part){.offset = offset, .len = size * 8};
    return 0;
}

static int check_refcounts(struct ss_qcow2 *image, const unsigned char *head)
{
    uint64_t offset = ss_be64(head + 48), size = (uint64_t)ss_be32(head + 56) * ss_qcow2_cluster_size(image);

    if (!ss_qcow2_is_cluster(image, offset) || size == 0 || size > REFCOUNT_TABLE_BYTES_MAX ||
        !ss_qcow2_holds(image, offset, size))
        return bad_structure(image, "its table of reference counts is not in the file");
    image->refcounts = (struct ss_qcow2_part){.offset = offset, .len = size};
    return 0;
}

int ss_qcow2_read_snapshot(struct ss_qcow2 *image, uint64_t *offset, struct ss_qcow2_snapshot *snapshot)
{
    unsigned char entry[SNAPSHOT_LEN] = {0};

    int r = ss_qcow2_read(image, entry, sizeof entry, *offset);
    if (r < 0)
        return r;
    *snapshot = (struct ss_qcow2_snapshot){
        .l1 = {.offset = ss_be64(entry), .len = (uint64_t)ss_be32(entry + 8) * 8},
        .extra = ss_be32(entry + 36),
    };
    uint64_t len = SNAPSHOT_LEN + (uint64_t)snapshot->extra + ss_be16(entry + 12) + ss_be16(entry + 14);
    if (snapshot->l1.offset % ss_qcow2_cluster_size(image) != 0 || snapshot->extra > SNAPSHOT_EXTRA_MAX)
        return bad_structure(image, "its list of snapshots is broken");
    if (!ss_qcow2_holds(image, *offset, len))
        return bad_structure(image, "its list of snapshots is not in the file");
    *offset += (len + 7) / 8 * 8;
    return 0;
}

static int check_snapshots(struct ss_qcow2 *image, const unsigned char *head)
{
    uint32_t count = ss_be32(head + 60);
    uint64_t begin = ss_be64(head + 64), offset = begin;
    struct ss_qcow2_snapshot snapshot;

    if (count > SNAPSHOTS_MAX || begin > INT64_MAX || begin % ss_qcow2_cluster_size(image) != 0 ||
        (count > 0 && begin == 0))
        return bad_structure(image, "its list of snapshots is not in the file");
    for (uint32_t i = 0; i < count; i++) {
        int r = ss_qcow2_read_snapshot(image, &offset, &snapshot);
        if (r < 0)
            return r;
        if (offset - begin > SNAPSHOTS_BYTES_MAX)
            return bad_structure(image, "its list of snapshots is broken");
    }
    image->snapshot_count = count;
    image->snapshots = (struct ss_qcow2_part){.offset = begin, .len = offset - begin};
    return 0;
}

/* What only version 3 has. */
static int check_version3(struct ss_qcow2 *image, const unsigned char *head, uint32_t header_len)
{
    image->incompatible = ss_be64(head + 72);
    image->autoclear = ss_be64(head + 88);
    image->refcount_order = ss_be32(head + 96);
    if (header_len < HEADER_V3 || header_len % 8 != 0 || header_len > ss_qcow2_cluster_size(image))
        return ss_qcow2_broken(image, SS_HEADER_DAMAGED, "its header can not be %" PRIu32 " bytes long", header_len);
    image->compression = header_len > HEADER_V3 ? head[HEADER_V3] : 0;
    if (image->incompatible & ~(uint64_t)SS_QCOW2_KNOWN)
        return ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED, "it needs features that are not known");
    if (image->compression > 1)
        return ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED, "its compression is not known");
    if (image->refcount_order > REFCOUNT_ORDER_MAX ||
        (image->compression > 0) != ((image->incompatible & SS_QCOW2_COMPRESSION) > 0) ||
        (image->incompatible & SS_QCOW2_EXTENDED_L2 && image->cluster_bits < EXTENDED_L2_CLUSTER_BITS_MIN))
        return bad_header(image, "its header does not make sense");
    return 0;
}

static int check_tables(struct ss_qcow2 *image, const unsigned char *head)
{
    image->encryption = ss_be32(head + 32);
    int r = image->encryption > SS_QCOW2_LUKS
                ? ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED, "its encryption is not known")
                : 0;

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
    uint32_t header_len = HEADER_V2;

    *image = (struct ss_qcow2){.fd = fd, .file_size = size, .refcount_order = REFCOUNT_ORDER_V2};
    ssize_t n = ss_pread_full(fd, head, size < sizeof head ? (size_t)size : sizeof head, 0);
    if (n < 0)
        return (int)n;
    if (n < 8 || ss_be32(head) != MAGIC)
        return -EINVAL;
    image->version = ss_be32(head + 4);
    if (image->version < 2 || image->version > 3)
        return ss_qcow2_broken(image, SS_FORMAT_UNSUPPORTED, "version %" PRIu32 " is not known", image->version);
    if (n < (image->version == 2 ? HEADER_V2 : HEADER_V3))
        return bad_header(image, "the file ends inside its header");
    image->cluster_bits = ss_be32(head + 20);
    image->virtual_size = ss_be64(head + 24);
    if (image->cluster_bits < 9 || image->cluster_bits > 21)
        return ss_qcow2_broken(image, SS_HEADER_DAMAGED, "clusters of 2^%" PRIu32 " bytes are not possible",
                               image->cluster_bits);
    int r = 0;
    if (image->version == 3) {
        header_len = ss_be32(head + 100);
        r = check_version3(image, head, header_len);
    }
    if (r == 0)
        r = check_tables(image, head);
    if (r == 0)
        r = read_extensions(image, header_len);
    return r < 0 ? r : check_extensions(image);
}

int ss_qcow2_backing(struct ss_qcow2 *image, char name[SS_QCOW2_BACKING_NAME_MAX + 1])
{
    size_t len = image->backing.offset > 0 ? (size_t)image->backing.len : 0;

    name[len] = '\0';
    return ss_qcow2_read(image, name, len, image->backing.offset);
}

/* ---- who has it open: QEMU's file-posix driver ---- */

/* Permissions that are taken, and those that are refused to others, are locks on single bytes from here on. */
#define QEMU_LOCKS 100
#define QEMU_LOCKS_LEN 200
#define QEMU_WRITES 101

static bool is_locked(int fd, off_t start, off_t len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool ss_qcow2_is_in_use(int fd)
{
    return is_locked(fd, QEMU_LOCKS, QEMU_LOCKS_LEN);
}

bool ss_qcow2_is_written(int fd)
{
    return is_locked(fd, QEMU_WRITES, 1);
}
