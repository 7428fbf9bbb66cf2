#include "zstd_frames.h"

#include <string.h>

#include "bytes.h"

#define MAGIC 0xfd2fb528U
#define SKIPPABLE 0x184d2a50U /* and the 15 that follow */
#define MAGIC_LEN 4
#define BLOCK_HEAD_LEN 3

enum { BLOCK_RLE = 1, BLOCK_RESERVED = 3 };

/* How long the head of a frame is, of which its first five bytes are there; and what is in it. */
static size_t frame_head_len(const unsigned char *head, bool *single, size_t *size_len)
{
    static const unsigned char size_lens[] = {0, 2, 4, 8}, dictionary_lens[] = {0, 1, 2, 4};
    unsigned flags = head[MAGIC_LEN];

    *single = flags & 0x20;
    *size_len = flags >> 6 == 0 && *single ? 1 : size_lens[flags >> 6];
    return MAGIC_LEN + (*single ? 1U : 2U) + dictionary_lens[flags & 3] + *size_len;
}

static uint64_t frame_window(const unsigned char *head, size_t len, bool single, size_t size_len)
{
    const unsigned char *size = head + len - size_len;
    unsigned descriptor = head[MAGIC_LEN + 1];
    uint64_t base = UINT64_C(1) << (10 + (descriptor >> 3));

    if (!single)
        return base + base / 8 * (descriptor & 7);
    return size_len == 1 ? *size : size_len == 2 ? ss_le16(size) + 256U : size_len == 4 ? ss_le32(size) : ss_le64(size);
}

/* Takes what has been collected of a frame's head. Returns how many bytes it should be, 0 when it is all there. */
static size_t take_frame(struct ss_zstd_frames *frames)
{
    bool single;
    size_t size_len;

    if (frames->have < MAGIC_LEN)
        return MAGIC_LEN;
    uint32_t magic = ss_le32(frames->head);
    if ((magic & ~15U) == SKIPPABLE) {
        if (frames->have < MAGIC_LEN + 4)
            return MAGIC_LEN + 4;
        frames->skip = ss_le32(frames->head + MAGIC_LEN);
        return 0;
    }
    frames->lost = magic != MAGIC;
    if (frames->lost)
        return 0;
    if (frames->have < MAGIC_LEN + 1)
        return MAGIC_LEN + 1;
    size_t len = frame_head_len(frames->head, &single, &size_len);
    if (frames->have < len)
        return len;
    uint64_t window = frame_window(frames->head, len, single, size_len);
    if (window > frames->window)
        frames->window = window;
    frames->in_frame = true;
    frames->checksum = frames->head[MAGIC_LEN] & 4;
    return 0;
}

/* The same of a block's head. */
static size_t take_block(struct ss_zstd_frames *frames)
{
    if (frames->have < BLOCK_HEAD_LEN)
        return BLOCK_HEAD_LEN;
    uint32_t head = frames->head[0] | (uint32_t)frames->head[1] << 8 | (uint32_t)frames->head[2] << 16;
    unsigned kind = head >> 1 & 3;
    frames->lost = kind == BLOCK_RESERVED;
    frames->skip = kind == BLOCK_RLE ? 1 : head >> 3;
    if (head & 1) {
        frames->in_frame = false;
        frames->skip += frames->checksum ? 4 : 0;
    }
    return 0;
}

void ss_zstd_frames_feed(struct ss_zstd_frames *frames, const unsigned char *bytes, size_t len)
{
    while (len > 0 && !frames->lost) {
        size_t n = frames->skip < len ? (size_t)frames->skip : len;
        frames->skip -= n;
        bytes += n;
        len -= n;
        if (len == 0)
            return;
        size_t wanted = frames->in_frame ? take_block(frames) : take_frame(frames);
        if (wanted > 0) {
            n = wanted - frames->have < len ? wanted - frames->have : len;
            memcpy(frames->head + frames->have, bytes, n);
            frames->have += n;
            bytes += n;
            len -= n;
            wanted = frames->have < wanted ? wanted : frames->in_frame ? take_block(frames) : take_frame(frames);
        }
        if (wanted == 0)
            frames->have = 0;
    }
}
