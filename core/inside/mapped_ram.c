#include "mapped_ram.h"

#include <inttypes.h>
#include <stdio.h>

#include "bytes.h"

#define HEAD_LEN 28 /* be32 version, be64 page size, be64 offset of the bitmap, be64 offset of the pages */
#define VERSION 1
#define VERSION_MAX 255                     /* what is above is no version */
#define PAGES_ALIGNMENT (UINT64_C(1) << 20) /* QEMU loads no pages that begin elsewhere */
#define PAGE_SIZE_MIN 1024
#define PAGE_SIZE_MAX (1 << 20)

static enum ss_walk damage(struct ss_ram *ram, const struct ss_flow *flow, const struct ss_ram_block *block,
                           const char *what)
{
    char text[160];

    snprintf(text, sizeof text, "%s of the block of memory %.*s", what, (int)(block->len < 64 ? block->len : 64),
             block->name);
    return ss_ram_damage(ram, flow, text);
}

static bool is_head(const struct ss_ram *ram, const unsigned char *bytes)
{
    uint64_t page_size = ss_be64(bytes + 4);

    if (ram->page_size_told && page_size != ram->page_size)
        return false;
    return ss_be32(bytes) == VERSION && page_size >= PAGE_SIZE_MIN && page_size <= PAGE_SIZE_MAX &&
           (page_size & (page_size - 1)) == 0;
}

/* Bytes of the bitmap: a bit for each page, in words of eight bytes. */
static uint64_t bitmap_len(uint64_t used, uint64_t page_size)
{
    uint64_t pages = used / page_size;

    return (pages / 64 + (pages % 64 > 0)) * 8;
}

/* Offsets are the file's, not the stream's. The next entry comes behind the pages. */
static enum ss_walk pass_pages(struct ss_ram *ram, const struct ss_ram_block *block, struct ss_flow *flow,
                               uint64_t bitmap, uint64_t pages)
{
    uint64_t here = ram->start + flow->taken;
    uint64_t len = bitmap_len(block->used, ram->page_size);

    if (bitmap == 0 && pages == 0) /* memory that was left out because others share it */
        return SS_WALK_GOOD;
    if (bitmap < here || bitmap > ram->file_size || len > ram->file_size - bitmap)
        return damage(ram, flow, block, "the file does not have the bitmap");
    if (pages % PAGES_ALIGNMENT != 0 || pages < bitmap + len || pages > ram->file_size ||
        block->used > ram->file_size - pages)
        return damage(ram, flow, block, "the file does not have the pages");
    return ss_flow_skip(flow, pages + block->used - here) ? SS_WALK_GOOD
                                                          : damage(ram, flow, block, "the file ends in the pages");
}

enum ss_walk ss_mapped_ram_block(struct ss_ram *ram, const struct ss_ram_block *block, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_peek(flow, HEAD_LEN);

    if (!bytes)
        return ram->want_mapped || ram->mapped ? damage(ram, flow, block, "the stream ends at the head") : SS_WALK_GOOD;
    if (!is_head(ram, bytes)) {
        if (ram->want_mapped && ss_be32(bytes) > VERSION && ss_be32(bytes) <= VERSION_MAX) {
            ram->map_version = ss_be32(bytes);
            return SS_WALK_LOST;
        }
        return ram->want_mapped || ram->mapped ? damage(ram, flow, block, "there is no map") : SS_WALK_GOOD;
    }
    ram->mapped = true;
    ram->page_size = (uint32_t)ss_be64(bytes + 4);
    uint64_t bitmap = ss_be64(bytes + 12), pages = ss_be64(bytes + 20);
    ss_flow_take(flow, HEAD_LEN);
    return pass_pages(ram, block, flow, bitmap, pages);
}
