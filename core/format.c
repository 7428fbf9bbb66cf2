#include "format.h"

#include <byteswap.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

/* What a probe judges: the first len bytes of a file of size bytes. */
struct image {
    const unsigned char *head;
    size_t len;
    uint64_t size;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint32_t host32(const struct image *image, size_t at)
{
    uint32_t value;

    memcpy(&value, image->head + at, sizeof value);
    return value;
}

static uint32_t be32(const struct image *image, size_t at)
{
    return be32toh(host32(image, at));
}

/* ---- libvirt save image: src/qemu/qemu_saveimage.h in libvirt ---- */

#define LIBVIRT_MAGIC_LEN 16
#define LIBVIRT_MAGIC_DONE "LibvirtQemudSave"
#define LIBVIRT_MAGIC_PARTIAL "LibvirtQemudPart"
#define LIBVIRT_HEADER_LEN 92
#define LIBVIRT_VERSION_MAX 2 /* a greater number is one in the other byte order */

enum {
    LIBVIRT_AT_VERSION = 16,
    LIBVIRT_AT_DATA_LEN = 20,
    LIBVIRT_AT_COOKIE_OFFSET = 32,
};

static bool libvirt_has_magic(const struct image *image, const char *magic)
{
    return image->len >= LIBVIRT_MAGIC_LEN && memcmp(image->head, magic, LIBVIRT_MAGIC_LEN) == 0;
}

/* Writes into why what the fields of a whole header say against the file's being complete. */
static void libvirt_check(uint32_t data_len, uint32_t cookie_offset, uint64_t size, struct ss_format_probe *probe)
{
    if (data_len == 0)
        snprintf(probe->why, sizeof probe->why, "the header says that its data is 0 bytes long");
    else if (cookie_offset > data_len)
        snprintf(probe->why, sizeof probe->why,
                 "the header's cookie offset %" PRIu32 " is past its data of %" PRIu32 " bytes", cookie_offset,
                 data_len);
    else if (LIBVIRT_HEADER_LEN + (uint64_t)data_len > size)
        snprintf(probe->why, sizeof probe->why,
                 "the header and its data are %" PRIu64 " bytes, the file has only %" PRIu64,
                 LIBVIRT_HEADER_LEN + (uint64_t)data_len, size);
}

static void libvirt_read_fields(const struct image *image, struct ss_format_probe *probe)
{
    uint32_t version = host32(image, LIBVIRT_AT_VERSION);
    uint32_t data_len = host32(image, LIBVIRT_AT_DATA_LEN);
    uint32_t cookie_offset = host32(image, LIBVIRT_AT_COOKIE_OFFSET);

    if (version > LIBVIRT_VERSION_MAX) {
        version = bswap_32(version);
        data_len = bswap_32(data_len);
        cookie_offset = bswap_32(cookie_offset);
    }
    /* A version that nobody has defined yet: only its magic means something to us. */
    if (version > LIBVIRT_VERSION_MAX)
        return;
    probe->header_len = min_u64(min_u64(LIBVIRT_HEADER_LEN + (uint64_t)data_len, image->size), SS_FORMAT_HEADER_MAX);
    libvirt_check(data_len, cookie_offset, image->size, probe);
}

static bool probe_libvirt(const struct image *image, struct ss_format_probe *probe)
{
    bool partial = libvirt_has_magic(image, LIBVIRT_MAGIC_PARTIAL);

    if (!partial && !libvirt_has_magic(image, LIBVIRT_MAGIC_DONE))
        return false;
    if (image->len < LIBVIRT_HEADER_LEN)
        snprintf(probe->why, sizeof probe->why, "the file ends inside the %d bytes of its header", LIBVIRT_HEADER_LEN);
    else
        libvirt_read_fields(image, probe);
    if (partial)
        snprintf(probe->why, sizeof probe->why, "the magic is " LIBVIRT_MAGIC_PARTIAL);
    probe->marked_partial = partial;
    probe->completion = probe->why[0] ? SS_COMPLETION_PARTIAL : SS_COMPLETION_DONE;
    return true;
}

/* ---- QEMU migration stream: migration/savevm.c in QEMU ---- */

#define QEMU_MAGIC 0x5145564dU /* "QEVM" */
#define QEMU_VERSION 3

static bool probe_qemu(const struct image *image, struct ss_format_probe *probe)
{
    (void)probe;
    return image->len >= 8 && be32(image, 0) == QEMU_MAGIC && be32(image, 4) == QEMU_VERSION;
}

/* ---- qcow2: docs/interop/qcow2.txt in QEMU ---- */

#define QCOW2_MAGIC 0x514649fbU /* "QFI\xfb" */
#define QCOW2_HEADER_LEN 72     /* of version 2; version 3 has more */

enum {
    QCOW2_AT_VERSION = 4,
    QCOW2_AT_CLUSTER_BITS = 20,
};

static bool probe_qcow2(const struct image *image, struct ss_format_probe *probe)
{
    if (image->len < QCOW2_HEADER_LEN || be32(image, 0) != QCOW2_MAGIC)
        return false;
    uint32_t version = be32(image, QCOW2_AT_VERSION);
    uint32_t cluster_bits = be32(image, QCOW2_AT_CLUSTER_BITS);
    if (version < 2 || version > 3 || cluster_bits < 9 || cluster_bits > 21)
        return false;
    probe->header_len = min_u64(UINT64_C(1) << cluster_bits, image->size);
    return true;
}

/* ---- all of them ---- */

/* A probe says whether it knows the image. It finds the answer filled in for a format that has no mark and no header
 * of its own, and changes what it knows better. */
static const struct {
    const char *name;
    bool (*probe)(const struct image *image, struct ss_format_probe *probe);
} formats[SS_FORMAT_COUNT] = {
    [SS_FORMAT_UNKNOWN] = {"unknown", NULL},
    [SS_FORMAT_LIBVIRT] = {"libvirt", probe_libvirt},
    [SS_FORMAT_QEMU] = {"qemu", probe_qemu},
    [SS_FORMAT_QCOW2] = {"qcow2", probe_qcow2},
};

void ss_format_probe(const void *head, size_t head_len, uint64_t size, struct ss_format_probe *probe)
{
    const struct image image = {.head = head, .len = (size_t)min_u64(head_len, size), .size = size};

    *probe = (struct ss_format_probe){
        .format = SS_FORMAT_UNKNOWN,
        .completion = SS_COMPLETION_NO_MARK,
        .header_len = min_u64(SS_FORMAT_HEAD, size),
    };
    for (unsigned i = 0; i < SS_FORMAT_COUNT; i++) {
        if (formats[i].probe && formats[i].probe(&image, probe)) {
            probe->format = (enum ss_format)i;
            return;
        }
    }
}

int ss_format_probe_fd(int fd, uint64_t size, struct ss_format_probe *probe)
{
    unsigned char head[SS_FORMAT_HEAD];

    ssize_t n = ss_pread_full(fd, head, sizeof head, 0);
    if (n < 0)
        return (int)n;
    ss_format_probe(head, (size_t)n, size, probe);
    return 0;
}

const char *ss_format_name(enum ss_format format)
{
    return formats[format].name;
}

int ss_format_parse(const char *name, enum ss_format *format)
{
    for (unsigned i = 0; i < SS_FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *format = (enum ss_format)i;
            return 0;
        }
    }
    return -EINVAL;
}
