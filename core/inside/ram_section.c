#include "ram_section.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "mapped_ram.h"

/* The low bits of each record's first eight bytes; the rest of them is the page's offset in its block. */
enum {
    FLAG_ZERO = 0x2,
    FLAG_SIZE = 0x4,
    FLAG_PAGE = 0x8,
    FLAG_END = 0x10,
    FLAG_CONTINUE = 0x20, /* the block is the one of before */
    FLAG_XBZRLE = 0x40,
    FLAG_HOOK = 0x80,
    FLAG_COMPRESSED = 0x100,
    FLAG_FLUSH = 0x200,
};

#define FLAGS_KNOWN 0x3feU
#define BLOCKS_MAX 1024
#define ADDRESS_BITS 52 /* of a machine, at most */

void ss_ram_free(struct ss_ram *ram)
{
    free(ram->blocks);
    ram->blocks = NULL;
}

enum ss_walk ss_ram_damage(struct ss_ram *ram, const struct ss_flow *flow, const char *what)
{
    if (flow->error)
        return SS_WALK_LOST;
    snprintf(ram->why, sizeof ram->why, "%s, at byte %" PRIu64 " of its stream", what, flow->taken);
    return SS_WALK_DAMAGED;
}

static enum ss_walk ends_early(struct ss_ram *ram, const struct ss_flow *flow)
{
    return ss_ram_damage(ram, flow, "the machine's memory ends early");
}

/* Two words for one thing: the name of a block, its length before it. NULL at the end of the flow. */
static const unsigned char *take_name(struct ss_flow *flow, unsigned char *len)
{
    const unsigned char *byte = ss_flow_peek(flow, 1);

    if (!byte)
        return NULL;
    *len = *byte;
    const unsigned char *name = ss_flow_take(flow, 1U + *len);
    return name ? name + 1 : NULL;
}

/* Features that are not known here put more into each entry of the list. QEMU tells, or refuses, all of them when it is
 * mapped-ram (migration/options.c). */
static enum ss_walk alien_block(struct ss_ram *ram, const struct ss_flow *flow, const char *what)
{
    bool sure = (ram->want_mapped || ram->mapped) && !ram->has_unknown;

    return sure ? ss_ram_damage(ram, flow, what) : SS_WALK_LOST;
}

/* One entry of the list, left is how much of the memory the list has not named yet. */
static enum ss_walk take_block(struct ss_ram *ram, struct ss_flow *flow, uint64_t *left)
{
    struct ss_ram_block *block = &ram->blocks[ram->count];
    const unsigned char *name = take_name(flow, &block->len);

    if (!name)
        return ends_early(ram, flow);
    memcpy(block->name, name, block->len);
    if (block->len == 0)
        return alien_block(ram, flow, "there is a block of memory without a name");
    const unsigned char *used = ss_flow_take(flow, 8);
    if (!used)
        return ends_early(ram, flow);
    block->used = ss_be64(used);
    if (block->used > *left)
        return alien_block(ram, flow, "there is a block of memory that is larger than all of it");
    if (ram->has_addresses && !ss_flow_take(flow, 8))
        return ends_early(ram, flow);
    *left -= block->used;
    ram->count++;
    if (ram->want_mapped || ram->mapped || ram->count == 1)
        return ss_mapped_ram_block(ram, block, flow);
    return SS_WALK_GOOD;
}

static enum ss_walk take_list(struct ss_ram *ram, struct ss_flow *flow)
{
    for (uint64_t left = ram->total; left > 0;) {
        if (ram->count >= BLOCKS_MAX)
            return SS_WALK_LOST;
        enum ss_walk walk = take_block(ram, flow, &left);
        if (walk != SS_WALK_GOOD)
            return walk;
    }
    return SS_WALK_GOOD;
}

/* The marks behind the list. */
static enum ss_walk take_list_end(struct ss_ram *ram, struct ss_flow *flow)
{
    for (;;) {
        const unsigned char *bytes = ss_flow_take(flow, 8);
        if (!bytes)
            return ends_early(ram, flow);
        uint64_t mark = ss_be64(bytes);
        if (mark == FLAG_END)
            return SS_WALK_GOOD;
        /* With one block this could be one more field of it. */
        if (mark == 0 && (ram->mapped || ram->count > 1))
            return ss_ram_damage(ram, flow, "the list of the blocks of memory has no end");
        if (mark != FLAG_FLUSH)
            return SS_WALK_LOST;
    }
}

struct name {
    const unsigned char *bytes;
    unsigned char len;
};

static int compare_name(const void *key, const void *block)
{
    const struct name *name = key;
    const struct ss_ram_block *other = block;

    return name->len != other->len ? name->len - other->len : memcmp(name->bytes, other->name, name->len);
}

/* Any order that is one. */
static int compare_blocks(const void *left, const void *right)
{
    const struct ss_ram_block *block = left;
    const struct name name = {(const unsigned char *)block->name, block->len};

    return compare_name(&name, right);
}

enum ss_walk ss_ram_setup(struct ss_ram *ram, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, 8);

    if (!bytes)
        return ends_early(ram, flow);
    uint64_t flags = ss_be64(bytes) & (ram->page_size - 1);
    if (flags != FLAG_SIZE)
        return SS_WALK_LOST;
    ram->total = ss_be64(bytes) - flags;
    ram->blocks = calloc(BLOCKS_MAX, sizeof *ram->blocks);
    if (!ram->blocks)
        return SS_WALK_NO_MEMORY;
    enum ss_walk walk = take_list(ram, flow);
    if (walk == SS_WALK_GOOD)
        walk = take_list_end(ram, flow);
    qsort(ram->blocks, ram->count, sizeof *ram->blocks, compare_blocks);
    return walk;
}

/* Each of the records may ask, and in a stream that is made for it they are as many as a few bytes unpack to. */
static const struct ss_ram_block *find_block(const struct ss_ram *ram, const unsigned char *name, unsigned char len)
{
    const struct name key = {name, len};

    if (ram->last && compare_name(&key, ram->last) == 0)
        return ram->last;
    return bsearch(&key, ram->blocks, ram->count, sizeof *ram->blocks, compare_name);
}

/* What a page's record holds behind its head. */
static bool skip_content(const struct ss_ram *ram, struct ss_flow *flow, uint64_t flags)
{
    const unsigned char *head;

    switch (flags & ~(uint64_t)FLAG_CONTINUE) {
    case FLAG_ZERO: /* the byte that it is full of */
        return ss_flow_skip(flow, 1);
    case FLAG_PAGE:
        return ss_flow_skip(flow, ram->page_size);
    case FLAG_XBZRLE: /* its kind, be16 length */
        head = ss_flow_take(flow, 3);
        return head && ss_flow_skip(flow, ss_be16(head + 1));
    default: /* compressed, be32 length */
        head = ss_flow_take(flow, 4);
        return head && ss_flow_skip(flow, ss_be32(head));
    }
}

static enum ss_walk take_page(struct ss_ram *ram, struct ss_flow *flow, uint64_t flags, uint64_t offset)
{
    if (!(flags & FLAG_CONTINUE)) {
        unsigned char len;
        const unsigned char *name = take_name(flow, &len);
        if (!name)
            return ends_early(ram, flow);
        ram->last = find_block(ram, name, len);
        if (!ram->last)
            return ss_ram_damage(ram, flow, "there is a page of memory that the machine does not have");
    }
    if (!ram->last)
        return ss_ram_damage(ram, flow, "there is a page of no block of memory");
    if (offset >= ram->last->used)
        return ss_ram_damage(ram, flow, "there is a page past the end of its block of memory");
    return skip_content(ram, flow, flags) ? SS_WALK_GOOD : ends_early(ram, flow);
}

static bool is_page(uint64_t flags)
{
    flags &= ~(uint64_t)FLAG_CONTINUE;
    return flags == FLAG_ZERO || flags == FLAG_PAGE || flags == FLAG_XBZRLE || flags == FLAG_COMPRESSED;
}

enum ss_walk ss_ram_pages(struct ss_ram *ram, struct ss_flow *flow)
{
    enum ss_walk walk = SS_WALK_GOOD;

    while (walk == SS_WALK_GOOD) {
        const unsigned char *bytes = ss_flow_take(flow, 8);
        if (!bytes)
            return ends_early(ram, flow);
        uint64_t flags = ss_be64(bytes) & (ram->page_size - 1);
        uint64_t offset = ss_be64(bytes) - flags;
        if (offset >> ADDRESS_BITS || flags == 0)
            return ss_ram_damage(ram, flow, "there is no page where one should begin");
        if (flags & (FLAG_HOOK | FLAG_SIZE) || flags & ~(uint64_t)FLAGS_KNOWN)
            return SS_WALK_LOST;
        if (flags == FLAG_END)
            return SS_WALK_GOOD;
        if (is_page(flags))
            walk = take_page(ram, flow, flags, offset);
        else if (flags != FLAG_FLUSH)
            return ss_ram_damage(ram, flow, "there is a page of two kinds at once");
    }
    return walk;
}
