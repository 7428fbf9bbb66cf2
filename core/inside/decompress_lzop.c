/* Files of lzop, block by block: it writes checksums of what was in a block, and seldom of the block itself, so that
 * only who decompresses it knows whether it is whole. From lzop's own source and file format. */
#include <errno.h>
#include <inttypes.h>
#include <lzo/lzo1x.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "decompress_part.h"

#define MAGIC_LEN 9
#define FIELDS_MAX 64       /* of the header, from the magic to the length of the name */
#define FIELDS_MIN 33       /* the most that fields_len looks at, and there is always more than that in a whole file */
#define VERSION_LONG 0x0940 /* from it on the header has more fields */
#define BLOCK_MAX ((uint32_t)64 << 20)
#define METHOD_LAST 3 /* 1 to 3: kinds of packing, that are unpacked alike */

enum {
    FLAG_ADLER32_DATA = 0x1,
    FLAG_ADLER32_PACKED = 0x2,
    FLAG_EXTRA = 0x40,
    FLAG_CRC32_DATA = 0x100,
    FLAG_CRC32_PACKED = 0x200,
    FLAG_FILTER = 0x800,
    FLAG_CRC32_HEADER = 0x1000,
};

static int damaged(struct ss_decompress *d, const char *what)
{
    char why[sizeof d->why];

    snprintf(why, sizeof why, "%s, at byte %" PRIu64, what, d->at);
    return ss_decompress_damaged(d, why);
}

/* Returns 0 or -errno. */
static int take(struct ss_decompress *d, void *bytes, size_t len)
{
    int r = ss_job_read(d->job, d->at, bytes, len);

    if (r < 0)
        return r == -ENODATA ? damaged(d, "it ends early") : r;
    d->at += len;
    return 0;
}

/* How many bytes of the header are before its name's length, from the version's first on. */
static size_t fields_len(const unsigned char *fields, uint32_t *flags, unsigned *method)
{
    bool is_long = ss_be16(fields) >= VERSION_LONG;
    size_t at = is_long ? 2 + 2 + 2 : 2 + 2; /* version, library's, needed */

    *method = fields[at];
    at += is_long ? 1 + 1 : 1; /* and its level */
    *flags = ss_be32(fields + at);
    at += 4;
    if (*flags & FLAG_FILTER)
        at += 4;
    return at + 4 + 4 + (is_long ? 4 : 0); /* mode, time */
}

static bool is_sum(bool crc, const unsigned char *sum, const unsigned char *bytes, size_t len)
{
    return ss_be32(sum) == (crc ? crc32_z(0, bytes, len) : adler32_z(1, bytes, len));
}

static int take_header(struct ss_decompress *d)
{
    unsigned char bytes[FIELDS_MAX + 1 + 255 + 4];
    unsigned method;

    d->at += MAGIC_LEN;
    uint64_t begin = d->at;
    int r = take(d, bytes, FIELDS_MIN);
    if (r < 0)
        return r;
    size_t len = fields_len(bytes, &d->lzop.flags, &method);
    size_t all = len + 1 + bytes[len];
    d->at = begin;
    r = take(d, bytes, all + 4);
    if (r < 0)
        return r;
    if (!is_sum(d->lzop.flags & FLAG_CRC32_HEADER, bytes + all, bytes, all))
        return damaged(d, "the checksum of its header is wrong");
    if (method == 0 || method > METHOD_LAST || d->lzop.flags & FLAG_FILTER)
        return -EOPNOTSUPP;
    if (d->lzop.flags & FLAG_EXTRA) {
        r = take(d, bytes, 4);
        d->at += r < 0 ? 0 : (uint64_t)ss_be32(bytes) + 4;
    }
    return r;
}

/* Room for a block, packed and unpacked. Returns 0 or -errno. */
static int make_room(struct ss_decompress *d, size_t bytes)
{
    if (bytes <= d->lzop.room)
        return 0;
    int r = ss_decompress_want(d, bytes);
    if (r < 0)
        return r;
    free(d->lzop.buf);
    d->lzop.buf = malloc(bytes);
    d->lzop.room = d->lzop.buf ? bytes : 0;
    return d->lzop.buf ? 0 : -ENOMEM;
}

/* The checksums of a block stand before it. Returns 0 or -errno. */
static int take_sums(struct ss_decompress *d, const uint32_t flags[], size_t count, unsigned char sums[][4])
{
    for (size_t i = 0; i < count; i++) {
        int r = d->lzop.flags & flags[i] ? take(d, sums[i], 4) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int unpack(struct ss_decompress *d, const unsigned char *packed, size_t packed_len, size_t len)
{
    lzo_uint unpacked = len;

    int r = lzo1x_decompress_safe(packed, packed_len, d->lzop.buf, &unpacked, NULL);
    return r == LZO_E_OK && unpacked == len ? 0 : damaged(d, "a block can not be unpacked");
}

/* A block that packing makes no smaller is stored. */
static int take_block(struct ss_decompress *d, size_t len, size_t packed_len)
{
    static const uint32_t flags[] = {FLAG_ADLER32_DATA, FLAG_CRC32_DATA, FLAG_ADLER32_PACKED, FLAG_CRC32_PACKED};
    bool is_stored = packed_len == len;
    unsigned char sums[4][4];

    int r = take_sums(d, flags, is_stored ? 2 : 4, sums);
    if (r < 0)
        return r;
    if (!ss_job_holds(d->job, d->at, packed_len))
        return damaged(d, "it ends early");
    r = make_room(d, is_stored ? len : len + packed_len);
    if (r < 0)
        return r;
    unsigned char *packed = d->lzop.buf + (is_stored ? 0 : len);
    r = take(d, packed, packed_len);
    for (size_t i = 2; r == 0 && !is_stored && i < 4; i++)
        if (d->lzop.flags & flags[i] && !is_sum(i == 3, sums[i], packed, packed_len))
            return damaged(d, "the checksum of a packed block is wrong");
    if (r == 0 && !is_stored)
        r = unpack(d, packed, packed_len, len);
    for (size_t i = 0; r == 0 && i < 2; i++)
        if (d->lzop.flags & flags[i] && !is_sum(i == 1, sums[i], d->lzop.buf, len))
            return damaged(d, "the checksum of a block is wrong");
    return r;
}

/* Returns 0, with no bytes behind the last block; or -errno. */
static int next_block(struct ss_decompress *d)
{
    unsigned char bytes[8];

    int r = ss_job_step(d->job, d->at);
    if (r == 0)
        r = take(d, bytes, 4);
    if (r < 0)
        return r;
    uint32_t len = ss_be32(bytes);
    if (len == 0) {
        d->trailing = d->job->size - d->at;
        d->ended = true;
        free(d->lzop.buf); /* it is needed elsewhere */
        d->lzop.buf = NULL;
        return 0;
    }
    r = take(d, bytes + 4, 4);
    if (r < 0)
        return r;
    uint32_t packed_len = ss_be32(bytes + 4);
    if (len > BLOCK_MAX || packed_len == 0 || packed_len > len)
        return damaged(d, "no block begins where one should");
    r = take_block(d, len, packed_len);
    d->lzop.at = 0;
    d->lzop.have = r < 0 ? 0 : len;
    return r;
}

int ss_decompress_lzop_open(struct ss_decompress *d)
{
    (void)d;
    return lzo_init() == LZO_E_OK ? 0 : -EOPNOTSUPP;
}

ssize_t ss_decompress_lzop_read(struct ss_decompress *d, void *buf, size_t len)
{
    int r = 0;

    if (!d->opened)
        r = take_header(d);
    d->opened = true;
    while (r == 0 && d->lzop.have == 0 && !d->ended)
        r = next_block(d);
    if (r < 0)
        return r;
    size_t n = len < d->lzop.have ? len : d->lzop.have;
    if (n > 0)
        memcpy(buf, d->lzop.buf + d->lzop.at, n);
    d->lzop.at += n;
    d->lzop.have -= n;
    return (ssize_t)n;
}
