#include "lzop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "core/util.h"

#define MAGIC_LEN 9
#define FIELDS_MAX 64 /* of the header, from the magic to the length of the name */
#define BLOCK_MAX ((uint32_t)64 << 20)
#define CHUNK ((size_t)256 << 10)
#define VERSION_LONG 0x0940 /* from it on the header has more fields */

enum {
    FLAG_ADLER32_DATA = 0x1,
    FLAG_ADLER32_PACKED = 0x2,
    FLAG_EXTRA = 0x40,
    FLAG_CRC32_DATA = 0x100,
    FLAG_CRC32_PACKED = 0x200,
    FLAG_FILTER = 0x800,
    FLAG_CRC32_HEADER = 0x1000,
};

struct lzop {
    const struct ss_job *job;
    uint64_t at;
    uint32_t flags;
    uint64_t blocks;
    unsigned char *chunk;
};

static int damage(const struct lzop *lzop, const char *what)
{
    return ss_job_say(lzop->job, SS_STREAM_DAMAGED, "its lzop data is damaged: %s, at byte %" PRIu64, what, lzop->at);
}

/* Returns 1 with the bytes, 0 when the end of the file was said to be there, or -errno. */
static int take(struct lzop *lzop, void *bytes, size_t len)
{
    int r = ss_job_read(lzop->job, lzop->at, bytes, len);

    if (r == -ENODATA)
        return damage(lzop, "it ends early");
    if (r < 0)
        return r;
    lzop->at += len;
    return 1;
}

/* How many bytes of the header are before its name's length, from the version's first on. */
static size_t fields_len(const unsigned char *fields, uint32_t *flags)
{
    bool is_long = ss_be16(fields) >= VERSION_LONG;
    size_t at = is_long ? 2 + 2 + 2 + 1 + 1 : 2 + 2 + 1; /* version, library's, needed, method, level */

    *flags = ss_be32(fields + at);
    at += 4;
    if (*flags & FLAG_FILTER)
        at += 4;
    return at + 4 + 4 + (is_long ? 4 : 0); /* mode, time */
}

/* Returns 1, 0 when damage was said, or -errno. */
static int take_header(struct lzop *lzop)
{
    unsigned char bytes[FIELDS_MAX + 1 + 255 + 4];

    lzop->at += MAGIC_LEN;
    uint64_t begin = lzop->at;
    int r = take(lzop, bytes, 33); /* the longest there is, and there is always more than that in a whole file */
    if (r <= 0)
        return r;
    size_t len = fields_len(bytes, &lzop->flags);
    size_t all = len + 1 + bytes[len] + 4;
    lzop->at = begin;
    r = take(lzop, bytes, all);
    if (r <= 0)
        return r;
    uLong sum = lzop->flags & FLAG_CRC32_HEADER ? crc32(0, bytes, (uInt)(all - 4)) : adler32(1, bytes, (uInt)(all - 4));
    if (sum != ss_be32(bytes + all - 4))
        return damage(lzop, "the checksum of its header is wrong");
    if (lzop->flags & FLAG_EXTRA) {
        r = take(lzop, bytes, 4);
        if (r <= 0)
            return r;
        lzop->at += (uint64_t)ss_be32(bytes) + 4;
    }
    return 1;
}

/* Reads len bytes of a block and compares them with its sums, those that are not NULL. 1, 0 or -errno. */
static int take_data(struct lzop *lzop, uint32_t len, const unsigned char *adler, const unsigned char *crc)
{
    uLong adler_sum = 1, crc_sum = 0;

    if (!ss_job_holds(lzop->job, lzop->at, len))
        return damage(lzop, "it ends early");
    for (uint32_t done = 0; done < len;) {
        size_t n = len - done < CHUNK ? len - done : CHUNK;
        int r = take(lzop, lzop->chunk, n);
        if (r <= 0)
            return r;
        adler_sum = adler ? adler32(adler_sum, lzop->chunk, (uInt)n) : adler_sum;
        crc_sum = crc ? crc32(crc_sum, lzop->chunk, (uInt)n) : crc_sum;
        done += (uint32_t)n;
    }
    if ((adler && ss_be32(adler) != adler_sum) || (crc && ss_be32(crc) != crc_sum))
        return damage(lzop, "the checksum of a block is wrong");
    return 1;
}

static const unsigned char *next_sum(const unsigned char **at, bool present)
{
    const unsigned char *sum = *at;

    if (!present)
        return NULL;
    *at += 4;
    return sum;
}

/* What comes after the two lengths of a block. */
static int take_block(struct lzop *lzop, uint32_t data_len, uint32_t packed_len)
{
    unsigned char bytes[16];
    const unsigned char *at = bytes;
    bool stored = packed_len == data_len;

    const unsigned char *adler_data = next_sum(&at, lzop->flags & FLAG_ADLER32_DATA);
    const unsigned char *crc_data = next_sum(&at, lzop->flags & FLAG_CRC32_DATA);
    const unsigned char *adler = next_sum(&at, !stored && lzop->flags & FLAG_ADLER32_PACKED);
    const unsigned char *crc = next_sum(&at, !stored && lzop->flags & FLAG_CRC32_PACKED);
    int r = at > bytes ? take(lzop, bytes, (size_t)(at - bytes)) : 1;
    if (r <= 0)
        return r;
    r = ss_job_step(lzop->job, lzop->at);
    if (r < 0)
        return r;
    return stored ? take_data(lzop, packed_len, adler_data, crc_data) : take_data(lzop, packed_len, adler, crc);
}

/* All blocks of one part. Returns 1 behind its end, 0 or -errno. */
static int take_blocks(struct lzop *lzop)
{
    unsigned char bytes[8];

    for (;; lzop->blocks++) {
        int r = take(lzop, bytes, 4);
        if (r <= 0)
            return r;
        uint32_t data_len = ss_be32(bytes);
        if (data_len == 0)
            return 1;
        r = take(lzop, bytes + 4, 4);
        if (r <= 0)
            return r;
        uint32_t packed_len = ss_be32(bytes + 4);
        if (data_len > BLOCK_MAX || packed_len == 0 || packed_len > data_len)
            return damage(lzop, "no block begins where one should");
        r = take_block(lzop, data_len, packed_len);
        if (r <= 0)
            return r;
    }
}

static int check(struct lzop *lzop)
{
    int r = take_header(lzop);

    if (r == 1)
        r = take_blocks(lzop);
    if (r <= 0)
        return r;
    if (lzop->blocks == 0)
        return ss_job_say(lzop->job, SS_STREAM_DAMAGED, "the machine's memory is missing");
    if (lzop->at < lzop->job->size)
        return ss_job_say(lzop->job, SS_STREAM_DAMAGED, "%" PRIu64 " bytes follow the end of its lzop data",
                          lzop->job->size - lzop->at);
    return ss_job_say(lzop->job, SS_COMPLETE, "%s", "");
}

int ss_lzop_check(const struct ss_job *job, uint64_t start)
{
    struct lzop lzop = {.job = job, .at = start, .chunk = malloc(CHUNK)};

    int r = lzop.chunk ? check(&lzop) : -ENOMEM;
    free(lzop.chunk);
    return r;
}
