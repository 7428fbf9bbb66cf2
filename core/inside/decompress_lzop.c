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
#define FIELDS_MAX 64 /* of the header, from the magic to the length of the name */
#define FIELDS_MIN 33 /* the most that parse_header looks at, and there is always more than that in a whole file */
#define VERSION_LONG 0x0940             /* from it on the header has more fields */
#define BLOCK_MAX ((uint32_t)256 << 10) /* the program refuses others, which the format would have */
#define BLOCK_FORMAT_MAX ((uint32_t)64 << 20)
#define METHOD_LAST 3 /* 1 to 3: kinds of packing, that are unpacked alike */
#define LEVEL_LAST 9
#define VERSION_FIRST 0x0900
#define VERSION_NEEDED_LAST 0x1040 /* that of lzop 1.04, the newest there is */
#define EXTRA_CHUNK 4096

enum {
    FLAG_ADLER32_DATA = 0x1,
    FLAG_ADLER32_PACKED = 0x2,
    FLAG_EXTRA = 0x40,
    FLAG_CRC32_DATA = 0x100,
    FLAG_CRC32_PACKED = 0x200,
    FLAG_FILTER = 0x800,
    FLAG_CRC32_HEADER = 0x1000,
    FLAGS_KNOWN = (int)0xfff03fffU, /* the upper ones tell the system and the character set */
};

struct header {
    unsigned version, needed, method, level;
    uint32_t flags;
    size_t fields; /* how many bytes are before its name's length, from the version's first on */
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

static struct header parse_header(const unsigned char *fields)
{
    struct header header = {.version = ss_be16(fields)};
    bool is_long = header.version >= VERSION_LONG;
    size_t at = is_long ? 6 : 4; /* behind the version of the library */

    header.needed = is_long ? ss_be16(fields + 4) : VERSION_FIRST;
    header.method = fields[at++];
    header.level = is_long ? fields[at++] : 0;
    header.flags = ss_be32(fields + at);
    at += header.flags & FLAG_FILTER ? 8 : 4;
    header.fields = at + 4 + 4 + (is_long ? 4 : 0); /* mode, time */
    return header;
}

static bool is_known(const struct header *header)
{
    return header->needed <= VERSION_NEEDED_LAST && header->method > 0 && header->method <= METHOD_LAST &&
           header->level <= LEVEL_LAST && !(header->flags & ~(uint32_t)FLAGS_KNOWN) && !(header->flags & FLAG_FILTER);
}

static bool is_sum(bool crc, const unsigned char *sum, const unsigned char *bytes, size_t len)
{
    return ss_be32(sum) == (crc ? crc32_z(0, bytes, len) : adler32_z(1, bytes, len));
}

/* A field for what is to come, with its own checksum. */
static int take_extra(struct ss_decompress *d)
{
    bool crc = d->lzop.flags & FLAG_CRC32_HEADER;
    unsigned char bytes[EXTRA_CHUNK];

    int r = take(d, bytes, 4);
    if (r < 0)
        return r;
    uint32_t left = ss_be32(bytes);
    uLong sum = crc ? crc32_z(0, bytes, 4) : adler32_z(1, bytes, 4);
    if (!ss_job_holds(d->job, d->at, (uint64_t)left + 4))
        return damaged(d, "it ends early");
    for (size_t n; r == 0 && left > 0; left -= (uint32_t)n) {
        n = left < sizeof bytes ? left : sizeof bytes;
        r = ss_job_step(d->job, d->at);
        if (r == 0)
            r = take(d, bytes, n);
        if (r == 0)
            sum = crc ? crc32_z(sum, bytes, n) : adler32_z(sum, bytes, n);
    }
    if (r == 0)
        r = take(d, bytes, 4);
    return r == 0 && sum != ss_be32(bytes) ? damaged(d, "the checksum of its header is wrong") : r;
}

static int take_header(struct ss_decompress *d)
{
    unsigned char bytes[FIELDS_MAX + 1 + 255 + 4];

    d->at += MAGIC_LEN;
    uint64_t begin = d->at;
    int r = take(d, bytes, FIELDS_MIN);
    if (r < 0)
        return r;
    const struct header header = parse_header(bytes);
    size_t all = header.fields + 1 + bytes[header.fields];
    d->at = begin;
    d->lzop.flags = header.flags;
    r = take(d, bytes, all + 4);
    if (r < 0)
        return r;
    if (!is_sum(header.flags & FLAG_CRC32_HEADER, bytes + all, bytes, all) || header.version < VERSION_FIRST)
        return damaged(d, "the checksum of its header is wrong");
    if (!is_known(&header))
        return -EOPNOTSUPP;
    return header.flags & FLAG_EXTRA ? take_extra(d) : 0;
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
    unsigned char *packed = d->lzop.buf + (is_stored ? 0 : BLOCK_MAX);
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
    if (len > BLOCK_FORMAT_MAX || packed_len == 0 || packed_len > len)
        return damaged(d, "no block begins where one should");
    if (len > BLOCK_MAX)
        return -EOPNOTSUPP;
    r = take_block(d, len, packed_len);
    d->lzop.at = 0;
    d->lzop.have = r < 0 ? 0 : len;
    return r;
}

int ss_decompress_lzop_open(struct ss_decompress *d)
{
    if (lzo_init() != LZO_E_OK)
        return -EOPNOTSUPP;
    d->lzop.buf = malloc((size_t)2 * BLOCK_MAX);
    return d->lzop.buf ? 0 : -ENOMEM;
}

ssize_t ss_decompress_lzop_read(struct ss_decompress *d, void *buf, size_t len)
{
    int r = 0;

    if (!d->opened)
        r = take_header(d);
    d->opened = true;
    while (r == 0 && d->lzop.have == 0 && !d->ended)
        r = next_block(d);
    if (r < 0 || d->ended)
        return r;
    size_t n = len < d->lzop.have ? len : d->lzop.have;
    memcpy(buf, d->lzop.buf + d->lzop.at, n);
    d->lzop.at += n;
    d->lzop.have -= n;
    return (ssize_t)n;
}
