/* The kdump-compressed format as it lies on a disk. It has no mark at its end; but each page has a row in a table that
 * says where it is. Source: IMPLEMENTATION and diskdump_mod.h in makedumpfile. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "kdump.h"
#include "window.h"

#define SIGNATURE "KDUMP   "
#define SIGNATURE_LEN 8
#define SUB_HEADER_LEN 104
#define ROW_LEN 24      /* of a page: offset, size, flags, page flags */
#define QUICK_ROWS 2048 /* at the end of the table, that are looked at if not deep */
#define STEP_ROWS 0x10000
#define VERSION_MAX 6

enum {
    AT_VERSION = 8,
    AT_MACHINE = 12 + 4 * 65, /* the fifth string of the utsname */
    MACHINE_LEN = 65,
};

static uint32_t get32(const struct ss_kdump_header *header, const unsigned char *at)
{
    return header->big ? ss_be32(at) : ss_le32(at);
}

static uint64_t get64(const struct ss_kdump_header *header, const unsigned char *at)
{
    return header->big ? ss_be64(at) : ss_le64(at);
}

/* ---- header ---- */

static bool sane(const struct ss_kdump_header *header)
{
    return header->version <= VERSION_MAX && header->block_size >= 512 && header->block_size <= (1U << 20) &&
           (header->block_size & (header->block_size - 1)) == 0 && header->sub_header_blocks >= 1 &&
           header->sub_header_blocks <= 0x10000 && header->bitmap_blocks >= 2 && header->bitmap_blocks % 2 == 0;
}

/* What follows the utsname is placed by the width of a timeval. */
static bool read_as(const unsigned char *bytes, size_t len, bool wide, bool big, struct ss_kdump_header *header)
{
    size_t at = wide ? 424 : 412;

    if (len < at + 40)
        return false;
    header->wide = wide;
    header->big = big;
    header->version = get32(header, bytes + AT_VERSION);
    header->status = get32(header, bytes + at);
    header->block_size = get32(header, bytes + at + 4);
    header->sub_header_blocks = get32(header, bytes + at + 8);
    header->bitmap_blocks = get32(header, bytes + at + 12);
    header->max_pages = get32(header, bytes + at + 16);
    header->cpus = get32(header, bytes + at + 36);
    return sane(header);
}

bool ss_kdump_header(const unsigned char *bytes, size_t len, struct ss_kdump_header *header)
{
    memset(header, 0, sizeof *header);
    if (len < SIGNATURE_LEN || memcmp(bytes, SIGNATURE, SIGNATURE_LEN) != 0)
        return false;
    if (!read_as(bytes, len, true, false, header) && !read_as(bytes, len, true, true, header) &&
        !read_as(bytes, len, false, false, header) && !read_as(bytes, len, false, true, header))
        return false;
    memcpy(header->machine, bytes + AT_MACHINE, MACHINE_LEN);
    return true;
}

void ss_kdump_tell(const struct ss_job *job, const struct ss_kdump_header *header)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } compressions[] = {{1, "zlib"}, {2, "lzo"}, {4, "snappy"}, {0x20, "zstd"}};

    ss_job_fact(job, "machine", "%s, %s endian, %d bits", header->machine[0] ? header->machine : "unknown",
                header->big ? "big" : "little", header->wide ? 64 : 32);
    ss_job_fact(job, "cpus", "%" PRIu32, header->cpus);
    ss_job_fact(job, "page-size", "%" PRIu32 " bytes", header->block_size);
    for (size_t i = 0; i < SS_ARRAY_SIZE(compressions); i++) {
        if (header->status & compressions[i].flag)
            ss_job_fact(job, "compression", "%s", compressions[i].name);
    }
}

/* ---- the table of pages ---- */

struct dump {
    const struct ss_job *job;
    struct ss_kdump_header header;
    uint64_t table_at, pages;
    uint64_t end; /* where the last part ends that was seen */
    struct ss_window window;
};

/* The bits of the second bitmap are the pages that the dump has. */
static int count_pages(struct dump *dump, uint64_t at, uint64_t len)
{
    const unsigned char *bytes;

    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < SS_WINDOW_SIZE ? (size_t)(len - done) : SS_WINDOW_SIZE;
        int r = ss_window_at(dump->job, &dump->window, at + done, n, &bytes);
        if (r < 0 || (r = ss_job_step(dump->job, at + done)) < 0)
            return r;
        for (size_t i = 0; i < n; i++)
            dump->pages += (unsigned)__builtin_popcount(bytes[i]);
        done += n;
    }
    return 0;
}

static int check_row(struct dump *dump, uint64_t page, const unsigned char *row)
{
    const struct ss_job *job = dump->job;
    uint64_t off = get64(&dump->header, row);
    uint32_t len = get32(&dump->header, row + 8);

    if (off < dump->table_at + dump->pages * ROW_LEN || len == 0 || len > dump->header.block_size)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "the entry of page %" PRIu64 " of %" PRIu64 " makes no sense",
                          page + 1, dump->pages);
    if (!ss_job_holds(job, off, len))
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "page %" PRIu64 " of %" PRIu64 " is not in the file", page + 1,
                          dump->pages);
    if (off + len > dump->end)
        dump->end = off + len;
    return 0;
}

static int check_rows(struct dump *dump)
{
    const struct ss_job *job = dump->job;
    uint64_t first = job->options->deep || dump->pages < QUICK_ROWS ? 0 : dump->pages - QUICK_ROWS;
    const unsigned char *row;

    for (uint64_t i = first; i < dump->pages; i++) {
        int r = ss_window_at(job, &dump->window, dump->table_at + i * ROW_LEN, ROW_LEN, &row);
        if (r == 0)
            r = check_row(dump, i, row);
        if (r < 0 || job->inside->finding != SS_END_UNPROVEN)
            return r;
        if (i % STEP_ROWS == 0 && (r = ss_job_step(job, dump->table_at + i * ROW_LEN)) < 0)
            return r;
    }
    if (dump->end == job->size)
        return ss_job_say(job, SS_COMPLETE, "%s", "");
    if (first > 0)
        return 0;
    return ss_job_say(job, SS_END_UNPROVEN, "%" PRIu64 " bytes follow its last page", job->size - dump->end);
}

/* ---- sub header ---- */

/* The pieces that it names: notes and the like. */
static int check_pieces(struct dump *dump, const unsigned char *sub)
{
    static const struct {
        const char *name;
        uint32_t version;
        size_t at;
    } pieces[] = {{"vmcoreinfo", 3, 32}, {"notes", 4, 48}, {"erased", 5, 64}};

    for (size_t i = 0; i < SS_ARRAY_SIZE(pieces); i++) {
        uint64_t off = get64(&dump->header, sub + pieces[i].at), len = get64(&dump->header, sub + pieces[i].at + 8);
        if (dump->header.version < pieces[i].version || len == 0)
            continue;
        if (!ss_job_holds(dump->job, off, len))
            return ss_job_say(dump->job, SS_STRUCTURE_DAMAGED, "its %s are not in the file", pieces[i].name);
        if (off + len > dump->end)
            dump->end = off + len;
    }
    return 0;
}

static int check_sub_header(struct dump *dump, bool *split)
{
    unsigned char sub[SUB_HEADER_LEN];

    int r = ss_job_read(dump->job, dump->header.block_size, sub, sizeof sub);
    if (r < 0)
        return r;
    *split = dump->header.version >= 2 && get32(&dump->header, sub + (dump->header.wide ? 12 : 8)) != 0;
    return dump->header.wide ? check_pieces(dump, sub) : 0; /* of 32 bits: the places differ by machine */
}

static int check_dump(struct dump *dump)
{
    const struct ss_job *job = dump->job;
    uint64_t block = dump->header.block_size, bitmaps_at = block * (1 + (uint64_t)dump->header.sub_header_blocks);
    uint64_t bitmaps = block * dump->header.bitmap_blocks;
    bool split;

    dump->table_at = bitmaps_at + bitmaps;
    if (!ss_job_holds(job, 0, dump->table_at))
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file ends before its lists of pages do");
    int r = check_sub_header(dump, &split);
    if (r < 0 || job->inside->finding != SS_END_UNPROVEN)
        return r;
    if (split)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "it is one part of a dump that was split");
    r = count_pages(dump, bitmaps_at + bitmaps / 2, bitmaps / 2);
    if (r < 0)
        return r;
    ss_job_fact(job, "pages", "%" PRIu64, dump->pages);
    if (dump->pages == 0)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "its list of pages is empty");
    if (!ss_job_holds(job, dump->table_at, dump->pages * ROW_LEN))
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file ends before its table of %" PRIu64 " pages does",
                          dump->pages);
    return check_rows(dump);
}

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= SIGNATURE_LEN && memcmp(head, SIGNATURE, SIGNATURE_LEN) == 0;
}

static int check(const struct ss_job *job)
{
    unsigned char head[SS_KDUMP_HEADER_MAX];

    SS_AUTO_FREE struct dump *dump = calloc(1, sizeof *dump);
    if (!dump)
        return -ENOMEM;
    dump->job = job;
    int r = ss_job_read(job, 0, head, sizeof head);
    if (r == -ENODATA)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file ends inside its header");
    if (r < 0)
        return r;
    if (!ss_kdump_header(head, sizeof head, &dump->header))
        return ss_job_say(job, SS_HEADER_DAMAGED, "its sizes make no sense, or are of a version that is not known");
    ss_kdump_tell(job, &dump->header);
    if (dump->header.status & SS_KDUMP_INCOMPLETE)
        return ss_job_say(job, SS_FORMAT_INCOMPLETE, "its header says that pages are missing");
    r = check_dump(dump);
    return r == -ENODATA ? ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file was cut while it was read") : r;
}

const struct ss_inside_format ss_inside_kdump_raw = {"kdump", "kdump", matches, check};
