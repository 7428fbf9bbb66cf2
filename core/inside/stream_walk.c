#include "stream_walk.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"

#define MAGIC 0x5145564dU /* "QEVM" */
#define VERSION 3

enum {
    SECTION_END_OF_ALL = 0x00,
    SECTION_START = 0x01,
    SECTION_PART = 0x02,
    SECTION_END = 0x03,
    SECTION_FULL = 0x04,
    SECTION_SUBSECTION = 0x05,
    SECTION_CONFIGURATION = 0x07,
    SECTION_COMMAND = 0x08,
    SECTION_FOOTER = 0x7e,
};

#define MACHINE_MAX 1024U
#define CAPABILITIES_MAX 64U

/* ---- the beginning ---- */

/* The text of a subsection's name, behind its kind and length. */
static bool is_named(const unsigned char *bytes, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(bytes, name, len) == 0;
}

static bool take_page_bits(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, 4);
    uint32_t bits = bytes ? ss_be32(bytes) : 0;

    if (bits < 10 || bits > 20)
        return false;
    if (walk->ram.page_size == 0)
        walk->ram.page_size = 1U << bits;
    return true;
}

/* Those that change what is in the stream. */
static void note_capability(struct ss_ram *ram, const unsigned char *name, size_t len)
{
    if (is_named(name, len, "mapped-ram"))
        ram->want_mapped = true;
    else if (is_named(name, len, "x-ignore-shared"))
        ram->has_addresses = true;
    else
        ram->has_unknown = true;
}

static bool take_capabilities(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, 4);
    uint32_t count = bytes ? ss_be32(bytes) : CAPABILITIES_MAX + 1;

    if (count > CAPABILITIES_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        bytes = ss_flow_peek(flow, 1);
        size_t len = bytes ? *bytes : 0;
        bytes = ss_flow_take(flow, 1 + len);
        if (!bytes)
            return false;
        note_capability(&walk->ram, bytes + 1, len);
    }
    return true;
}

/* What may follow the machine's name. Returns false at one that is not known, which could have any length. */
static bool take_subsection(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_peek(flow, 2);
    char name[256];

    if (!bytes)
        return false;
    size_t len = bytes[1];
    bytes = ss_flow_take(flow, 2 + len + 4); /* and be32 version */
    if (!bytes)
        return false;
    memcpy(name, bytes + 2, len);
    if (is_named((unsigned char *)name, len, "configuration/target-page-bits"))
        return take_page_bits(walk, flow);
    if (is_named((unsigned char *)name, len, "configuration/capabilities"))
        return take_capabilities(walk, flow);
    return is_named((unsigned char *)name, len, "configuration/uuid") && ss_flow_skip(flow, 16);
}

static void take_configuration(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, 5);
    uint32_t len = bytes ? ss_be32(bytes + 1) : 0;

    walk->open_end = true;
    if (len == 0 || len > MACHINE_MAX)
        return;
    bytes = ss_flow_take(flow, len);
    if (!bytes || memchr(bytes, 0, len))
        return;
    snprintf(walk->machine, sizeof walk->machine, "%.*s", (int)len, (const char *)bytes);
    while ((bytes = ss_flow_peek(flow, 1)) && *bytes == SECTION_SUBSECTION)
        if (!take_subsection(walk, flow))
            return;
    walk->open_end = false;
}

enum ss_stream_begin ss_stream_begin(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, SS_STREAM_HEADER_LEN);

    if (!bytes)
        return ss_flow_peek(flow, 1) ? SS_STREAM_CUT : SS_STREAM_ABSENT;
    if (ss_be32(bytes) != MAGIC)
        return SS_STREAM_ALIEN;
    walk->version = ss_be32(bytes + 4);
    if (walk->version != VERSION)
        return SS_STREAM_VERSION;
    bytes = ss_flow_peek(flow, 1);
    if (!bytes)
        return SS_STREAM_CUT;
    if (*bytes == SECTION_END_OF_ALL || *bytes > SECTION_COMMAND)
        return SS_STREAM_SECTIONLESS;
    walk->configured = *bytes == SECTION_CONFIGURATION;
    if (walk->configured)
        take_configuration(walk, flow);
    if (walk->ram.page_size == 0)
        walk->ram.page_size = SS_STREAM_PAGE_SIZE;
    return SS_STREAM_BEGUN;
}

/* ---- sections ---- */

struct sections {
    uint32_t memory; /* the number of its section */
    bool begun, ended;
    bool footers;
};

static enum ss_walk take_footer(struct ss_stream_walk *walk, struct ss_flow *flow, struct sections *sections)
{
    const unsigned char *bytes = ss_flow_peek(flow, 5);

    if (!bytes)
        return ss_ram_damage(&walk->ram, flow, "the machine's memory ends early");
    if (bytes[0] != SECTION_FOOTER || ss_be32(bytes + 1) != sections->memory) {
        /* The first one tells whether there are any. */
        return sections->footers ? ss_ram_damage(&walk->ram, flow, "a section has no footer") : SS_WALK_LOST;
    }
    sections->footers = true;
    ss_flow_take(flow, 5);
    return SS_WALK_GOOD;
}

/* Number, name, be32 instance, be32 version, and the list of blocks. */
static enum ss_walk take_start(struct ss_stream_walk *walk, struct ss_flow *flow, struct sections *sections)
{
    const unsigned char *bytes = ss_flow_peek(flow, 6);

    if (!bytes)
        return ss_ram_damage(&walk->ram, flow, "the stream ends where the machine's memory should begin");
    size_t len = bytes[5];
    bytes = ss_flow_take(flow, 6 + len + 8);
    if (!bytes)
        return ss_ram_damage(&walk->ram, flow, "the stream ends where the machine's memory should begin");
    if (sections->begun || !is_named(bytes + 6, len, "ram") || ss_be32(bytes + 6 + len + 4) != 4)
        return SS_WALK_LOST;
    sections->memory = ss_be32(bytes + 1);
    sections->begun = true;
    enum ss_walk r = ss_ram_setup(&walk->ram, flow);
    return r == SS_WALK_GOOD ? take_footer(walk, flow, sections) : r;
}

static enum ss_walk take_part(struct ss_stream_walk *walk, struct ss_flow *flow, struct sections *sections, bool last)
{
    const unsigned char *bytes = ss_flow_take(flow, 5);

    if (!bytes)
        return ss_ram_damage(&walk->ram, flow, "the machine's memory ends early");
    if (!sections->begun || ss_be32(bytes + 1) != sections->memory)
        return SS_WALK_LOST;
    enum ss_walk r = ss_ram_pages(&walk->ram, flow);
    if (r != SS_WALK_GOOD)
        return r;
    sections->ended = last;
    return take_footer(walk, flow, sections);
}

static enum ss_walk take_command(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    const unsigned char *bytes = ss_flow_take(flow, 5); /* be16 command, be16 length */

    if (bytes && ss_flow_skip(flow, ss_be16(bytes + 3)))
        return SS_WALK_GOOD;
    return ss_ram_damage(&walk->ram, flow, "the stream ends in a command");
}

static enum ss_walk take_section(struct ss_stream_walk *walk, struct ss_flow *flow, struct sections *sections)
{
    const unsigned char *kind = ss_flow_peek(flow, 1);

    if (!kind)
        return ss_ram_damage(&walk->ram, flow, "the machine's memory ends early");
    switch (*kind) {
    case SECTION_START:
        return take_start(walk, flow, sections);
    case SECTION_PART:
        return take_part(walk, flow, sections, false);
    case SECTION_END:
        return take_part(walk, flow, sections, true);
    case SECTION_COMMAND:
        return take_command(walk, flow);
    case SECTION_FULL: /* a device before the memory is through: it has any length */
        return SS_WALK_LOST;
    default:
        return ss_ram_damage(&walk->ram, flow, "no section begins where one should");
    }
}

enum ss_walk ss_stream_walk(struct ss_stream_walk *walk, struct ss_flow *flow)
{
    struct sections sections = {0};
    enum ss_walk r = walk->open_end || !walk->configured ? SS_WALK_LOST : SS_WALK_GOOD;

    while (r == SS_WALK_GOOD && !sections.ended)
        r = take_section(walk, flow, &sections);
    return r;
}
