/* An ELF core file: what virsh dump --memory-only and QEMU's dump-guest-memory write, and the kernel of a process. The
 * tables at its start say where its last byte is. Source: elf(5), and the ELF specification on PN_XNUM. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "window.h"

#define NAMES_MAX 8       /* of notes that are told */
#define NOTE_NAME_MAX 31  /* bytes of such a name that are told */
#define STEP_EVERY 0x1000 /* entries */

struct elf {
    const struct ss_job *job;
    bool wide, big;
    unsigned machine;
    uint64_t segments_at, sections_at;
    uint32_t segments, sections;

    uint64_t end; /* where the last part ends */
    const char
        *missing; /* "segment", "section", ...: the first part that ends after the file; NULL when all are there */
    uint32_t missing_number;
    uint64_t memory; /* bytes of PT_LOAD */
    uint64_t noted;  /* bytes of notes that were walked: not more than the file has, or they would overlap */
    char names[NAMES_MAX][NOTE_NAME_MAX + 1];
    size_t name_count;
    struct ss_window table, notes;
};

/* A row of the program header table. */
struct segment {
    uint32_t type;
    uint64_t off, file_size, memory_size;
};

static unsigned get16(const struct elf *elf, const unsigned char *at)
{
    return elf->big ? ss_be16(at) : ss_le16(at);
}

static uint32_t get32(const struct elf *elf, const unsigned char *at)
{
    return elf->big ? ss_be32(at) : ss_le32(at);
}

/* A field that has the width of the class. */
static uint64_t get_word(const struct elf *elf, const unsigned char *at)
{
    if (!elf->wide)
        return get32(elf, at);
    return elf->big ? ss_be64(at) : ss_le64(at);
}

/* The field of both classes' structs: narrow and wide have it at different places. */
#define FIELD(elf, type, name) ((elf)->wide ? offsetof(Elf64_##type, name) : offsetof(Elf32_##type, name))
#define SIZE_OF(elf, type) ((elf)->wide ? sizeof(Elf64_##type) : sizeof(Elf32_##type))

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    if (len < EI_NIDENT + 2 || memcmp(head, ELFMAG, SELFMAG) != 0)
        return false;
    const struct elf elf = {.big = head[EI_DATA] == ELFDATA2MSB};
    return get16(&elf, head + EI_NIDENT) == ET_CORE;
}

/* Notes that the part of the file at off has len bytes. Returns 0, or -ENODATA when they can not be. */
static int note_part(struct elf *elf, const char *what, uint32_t number, uint64_t off, uint64_t len)
{
    uint64_t end;

    if (__builtin_add_overflow(off, len, &end))
        return -ENODATA;
    if (end > elf->end)
        elf->end = end;
    if (end > elf->job->size && !elf->missing) {
        elf->missing = what;
        elf->missing_number = number;
    }
    return 0;
}

/* ---- header ---- */

/* Section 0 has the numbers that do not fit in the header. */
static int read_large_numbers(struct elf *elf, bool segments, bool sections)
{
    unsigned char row[sizeof(Elf64_Shdr)];

    int r = ss_job_read(elf->job, elf->sections_at, row, SIZE_OF(elf, Shdr));
    if (r < 0)
        return r;
    if (segments)
        elf->segments = get32(elf, row + FIELD(elf, Shdr, sh_info));
    if (sections) {
        uint64_t count = get_word(elf, row + FIELD(elf, Shdr, sh_size));
        elf->sections = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
    }
    return 0;
}

/* Returns 0 with *wrong NULL or what is wrong, -ENODATA when the file ends inside, or -errno. */
static int read_header(struct elf *elf, const char **wrong)
{
    unsigned char head[sizeof(Elf64_Ehdr)];

    *wrong = NULL;
    int r = ss_job_read(elf->job, 0, head, EI_NIDENT);
    if (r < 0)
        return r;
    elf->wide = head[EI_CLASS] == ELFCLASS64;
    elf->big = head[EI_DATA] == ELFDATA2MSB;
    if ((!elf->wide && head[EI_CLASS] != ELFCLASS32) || (!elf->big && head[EI_DATA] != ELFDATA2LSB)) {
        *wrong = "it is neither of 32 nor of 64 bits, or of no byte order";
        return 0;
    }
    r = ss_job_read(elf->job, 0, head, SIZE_OF(elf, Ehdr));
    if (r < 0)
        return r;
    elf->machine = get16(elf, head + FIELD(elf, Ehdr, e_machine));
    elf->segments_at = get_word(elf, head + FIELD(elf, Ehdr, e_phoff));
    elf->sections_at = get_word(elf, head + FIELD(elf, Ehdr, e_shoff));
    elf->segments = get16(elf, head + FIELD(elf, Ehdr, e_phnum));
    elf->sections = get16(elf, head + FIELD(elf, Ehdr, e_shnum));
    bool more_segments = elf->segments == PN_XNUM;
    bool more_sections = elf->sections == 0 && elf->sections_at != 0;
    if (get32(elf, head + FIELD(elf, Ehdr, e_version)) != EV_CURRENT)
        *wrong = "it is of no known version";
    else if (get16(elf, head + FIELD(elf, Ehdr, e_phentsize)) != SIZE_OF(elf, Phdr))
        *wrong = "its program headers have a wrong size";
    else if (elf->sections_at != 0 && get16(elf, head + FIELD(elf, Ehdr, e_shentsize)) != SIZE_OF(elf, Shdr))
        *wrong = "its section headers have a wrong size";
    else if (more_segments && elf->sections_at == 0)
        *wrong = "the number of its segments is nowhere";
    else if (elf->segments == 0)
        *wrong = "it has no segments";
    if (*wrong || !(more_segments || more_sections))
        return 0;
    return read_large_numbers(elf, more_segments, more_sections);
}

/* ---- notes ---- */

static void add_name(struct elf *elf, const unsigned char *bytes, size_t len)
{
    char name[NOTE_NAME_MAX + 1] = "";

    memcpy(name, bytes, len < NOTE_NAME_MAX ? len : NOTE_NAME_MAX);
    for (size_t i = 0; i < elf->name_count; i++) {
        if (strcmp(elf->names[i], name) == 0)
            return;
    }
    if (elf->name_count < NAMES_MAX && name[0])
        memcpy(elf->names[elf->name_count++], name, sizeof name);
}

static uint64_t padded(uint32_t len)
{
    return ((uint64_t)len + 3) & ~UINT64_C(3);
}

/* Returns 0, -ENODATA when a note goes past the segment's end, or -errno. */
static int walk_notes(struct elf *elf, const struct segment *segment)
{
    uint64_t at = segment->off, end = segment->off + segment->file_size;
    const unsigned char *bytes;

    for (uint32_t i = 1; end - at >= sizeof(Elf64_Nhdr); i++) {
        int r = ss_window_at(elf->job, &elf->notes, at, sizeof(Elf64_Nhdr), &bytes);
        if (r < 0)
            return r;
        uint32_t name = get32(elf, bytes), content = get32(elf, bytes + 4);
        uint64_t len = sizeof(Elf64_Nhdr) + padded(name) + padded(content);
        /* The last one's padding may be left out. */
        if (sizeof(Elf64_Nhdr) + padded(name) + content > end - at)
            return -ENODATA;
        r = ss_window_at(elf->job, &elf->notes, at + sizeof(Elf64_Nhdr), name < NOTE_NAME_MAX ? name : NOTE_NAME_MAX,
                         &bytes);
        if (r < 0)
            return r;
        add_name(elf, bytes, name);
        if (i % STEP_EVERY == 0 && (r = ss_job_step(elf->job, at)) < 0)
            return r;
        at = len < end - at ? at + len : end;
    }
    return 0;
}

/* ---- tables ---- */

static void read_segment(const struct elf *elf, const unsigned char *row, struct segment *segment)
{
    segment->type = get32(elf, row + FIELD(elf, Phdr, p_type));
    segment->off = get_word(elf, row + FIELD(elf, Phdr, p_offset));
    segment->file_size = get_word(elf, row + FIELD(elf, Phdr, p_filesz));
    segment->memory_size = get_word(elf, row + FIELD(elf, Phdr, p_memsz));
}

static int check_segment(struct elf *elf, uint32_t number, const struct segment *segment)
{
    int r = note_part(elf, "segment", number, segment->off, segment->file_size);
    if (r < 0)
        return ss_job_say(elf->job, SS_HEADER_DAMAGED, "segment %" PRIu32 " has no possible place", number);
    if (segment->type == PT_LOAD) {
        if (segment->file_size > segment->memory_size)
            return ss_job_say(elf->job, SS_HEADER_DAMAGED, "segment %" PRIu32 " is larger than its memory", number);
        if (__builtin_add_overflow(elf->memory, segment->memory_size, &elf->memory))
            return ss_job_say(elf->job, SS_HEADER_DAMAGED, "the segments are larger than any memory");
    }
    if (segment->type == PT_NOTE && ss_job_holds(elf->job, segment->off, segment->file_size)) {
        r = segment->file_size > elf->job->size - elf->noted ? -ENODATA : walk_notes(elf, segment);
        if (r == 0)
            elf->noted += segment->file_size;
        if (r == -ENODATA)
            return ss_job_say(elf->job, SS_STRUCTURE_DAMAGED, "the notes in segment %" PRIu32 " make no sense", number);
    }
    return r;
}

static bool said(const struct elf *elf)
{
    return elf->job->inside->finding != SS_END_UNPROVEN;
}

/* Each returns 0, maybe with a finding said, -ENODATA when the table is not in the file, or -errno. */
static int check_segments(struct elf *elf)
{
    size_t row = SIZE_OF(elf, Phdr);
    const unsigned char *bytes;

    if (!ss_job_holds(elf->job, elf->segments_at, (uint64_t)elf->segments * row))
        return -ENODATA;
    for (uint32_t i = 0; i < elf->segments && !said(elf); i++) {
        struct segment segment;
        int r = ss_window_at(elf->job, &elf->table, elf->segments_at + (uint64_t)i * row, row, &bytes);
        if (r < 0)
            return r;
        read_segment(elf, bytes, &segment);
        r = check_segment(elf, i, &segment);
        if (r < 0 || (i % STEP_EVERY == 0 && (r = ss_job_step(elf->job, 0)) < 0))
            return r;
    }
    return note_part(elf, "table of segments", 0, elf->segments_at, (uint64_t)elf->segments * row);
}

static int check_sections(struct elf *elf)
{
    size_t row = SIZE_OF(elf, Shdr);
    const unsigned char *bytes;

    /* They may stand at the end: then they are what is cut first. */
    int r = note_part(elf, "table of sections", 0, elf->sections_at, (uint64_t)elf->sections * row);
    if (r < 0)
        return ss_job_say(elf->job, SS_HEADER_DAMAGED, "its section headers have no possible place");
    if (!ss_job_holds(elf->job, elf->sections_at, (uint64_t)elf->sections * row))
        return 0;
    for (uint32_t i = 0; i < elf->sections; i++) {
        r = ss_window_at(elf->job, &elf->table, elf->sections_at + (uint64_t)i * row, row, &bytes);
        if (r < 0)
            return r;
        uint32_t type = get32(elf, bytes + FIELD(elf, Shdr, sh_type));
        if (type != SHT_NULL && type != SHT_NOBITS &&
            note_part(elf, "section", i, get_word(elf, bytes + FIELD(elf, Shdr, sh_offset)),
                      get_word(elf, bytes + FIELD(elf, Shdr, sh_size))) < 0)
            return ss_job_say(elf->job, SS_HEADER_DAMAGED, "section %" PRIu32 " has no possible place", i);
        if (i % STEP_EVERY == 0 && (r = ss_job_step(elf->job, 0)) < 0)
            return r;
    }
    return 0;
}

/* ---- the answer ---- */

static const char *machine_name(unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {
        {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},     {EM_AARCH64, "aarch64"}, {EM_PPC, "ppc"},
        {EM_PPC64, "ppc64"}, {EM_S390, "s390"},     {EM_RISCV, "riscv"}, {EM_MIPS, "mips"},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(names); i++) {
        if (names[i].machine == machine)
            return names[i].name;
    }
    return "unknown";
}

static void tell_facts(const struct elf *elf)
{
    char list[NAMES_MAX * (NOTE_NAME_MAX + 3)] = "";
    size_t len = 0;

    ss_job_fact(elf->job, "machine", "%s, %s endian, %d bits", machine_name(elf->machine), elf->big ? "big" : "little",
                elf->wide ? 64 : 32);
    ss_job_fact(elf->job, "segments", "%" PRIu32, elf->segments);
    ss_job_fact(elf->job, "memory", "%" PRIu64 " bytes", elf->memory);
    for (size_t i = 0; i < elf->name_count; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", elf->names[i]);
    if (elf->name_count)
        ss_job_fact(elf->job, "notes", "%s", list);
}

static int answer(const struct elf *elf)
{
    uint64_t size = elf->job->size;

    tell_facts(elf);
    if (said(elf))
        return 0;
    if (elf->missing && elf->missing_number)
        return ss_job_say(elf->job, SS_STRUCTURE_DAMAGED,
                          "the file has %" PRIu64 " of %" PRIu64 " bytes: %s %" PRIu32 " is cut", size, elf->end,
                          elf->missing, elf->missing_number);
    if (elf->missing)
        return ss_job_say(elf->job, SS_STRUCTURE_DAMAGED,
                          "the file has %" PRIu64 " of %" PRIu64 " bytes: the %s is cut", size, elf->end,
                          strcmp(elf->missing, "segment") == 0 ? "first segment" : elf->missing);
    if (elf->end < size)
        return ss_job_say(elf->job, SS_END_UNPROVEN, "%" PRIu64 " bytes follow its last part", size - elf->end);
    return ss_job_say(elf->job, SS_COMPLETE, "%s", "");
}

static int check_elf(struct elf *elf)
{
    const char *wrong;

    int r = read_header(elf, &wrong);
    if (r == 0 && wrong)
        return ss_job_say(elf->job, SS_HEADER_DAMAGED, "%s", wrong);
    if (r == 0)
        r = check_segments(elf);
    if (r == -ENODATA)
        return ss_job_say(elf->job, SS_STRUCTURE_DAMAGED, "the file ends before its headers do");
    if (r == 0 && !said(elf))
        r = check_sections(elf);
    return r < 0 ? r : answer(elf);
}

static int check(const struct ss_job *job)
{
    SS_AUTO_FREE struct elf *elf = calloc(1, sizeof *elf);

    if (!elf)
        return -ENOMEM;
    elf->job = job;
    return check_elf(elf);
}

const struct ss_inside_format ss_inside_elf_dump = {"elf-dump", "ELF core dump", matches, check};
