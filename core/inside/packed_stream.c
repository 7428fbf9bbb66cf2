#include "packed_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "decompress.h"
#include "flow.h"
#include "qemu_stream.h"

#define HEAD_MAX 9
#define MIB (UINT64_C(1) << 20)
#define TAIL_LEN 12

/* bzip2's end is a mark of 48 bits, 32 bits of checksum, and up to 7 bits of nothing: it begins at any bit. */
static bool ends_bzip2(const unsigned char tail[TAIL_LEN])
{
    const uint64_t mark = UINT64_C(0x177245385090), mask = (UINT64_C(1) << 48) - 1;

    for (unsigned bit = 0; bit < 8; bit++) {
        /* The mark's last bit is 32 + bit from the end. */
        uint64_t high = ss_be64(tail) >> bit, value = high & mask;
        if (value == mark)
            return true;
    }
    return false;
}

static bool ends_xz(const unsigned char tail[TAIL_LEN])
{
    return tail[TAIL_LEN - 2] == 'Y' && tail[TAIL_LEN - 1] == 'Z';
}

static bool ends_lzop(const unsigned char tail[TAIL_LEN])
{
    return ss_be32(tail + TAIL_LEN - 4) == 0;
}

static const struct packing {
    unsigned char magic[HEAD_MAX], magic_len;
    bool (*ends)(const unsigned char tail[TAIL_LEN]); /* NULL: its last bytes can be any */
} packings[SS_LIBVIRT_STREAM_COUNT] = {
    [SS_LIBVIRT_GZIP] = {{0x1f, 0x8b, 8}, 3, NULL},
    [SS_LIBVIRT_BZIP2] = {{'B', 'Z', 'h'}, 3, ends_bzip2},
    [SS_LIBVIRT_XZ] = {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, ends_xz},
    [SS_LIBVIRT_LZOP] = {{0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'}, 9, ends_lzop},
    [SS_LIBVIRT_ZSTD] = {{0x28, 0xb5, 0x2f, 0xfd}, 4, NULL},
};

/* Returns 0 with what is known by its two ends said, or -errno. */
static int check_ends(const struct ss_job *job, uint64_t start, const struct packing *packing, const char *name)
{
    unsigned char head[HEAD_MAX], tail[TAIL_LEN];

    if (start >= job->size)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory is missing");
    int r = ss_job_read(job, start, head, packing->magic_len);
    if (r < 0 && r != -ENODATA)
        return r;
    if (r == -ENODATA || memcmp(head, packing->magic, packing->magic_len) != 0)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory does not begin as %s data does", name);
    if (!packing->ends)
        return ss_job_say(job, SS_END_UNPROVEN, "only a look at all of its %s data tells (--deep)", name);
    r = job->size - start < sizeof tail ? -ENODATA : ss_job_read(job, job->size - sizeof tail, tail, sizeof tail);
    if (r < 0 && r != -ENODATA)
        return r;
    if (r == -ENODATA || !packing->ends(tail))
        return ss_job_say(job, SS_STREAM_DAMAGED, "the end of its %s data is missing", name);
    return ss_job_say(job, SS_COMPLETE, "%s", "");
}

static int check_unpacked(const struct ss_job *job, struct ss_decompress *decompress, struct ss_flow *flow,
                          const char *name)
{
    int r = ss_qemu_stream_check_flow(job, flow, ss_decompress_memory(decompress));

    if (r == -EBADMSG)
        return ss_job_say(job, SS_STREAM_DAMAGED, "its %s data is damaged: %s", name, ss_decompress_why(decompress));
    if (r == -E2BIG)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED,
                          "its %s data needs %" PRIu64 " MiB of memory, and more than %" PRIu64 " are not given to it",
                          name, (ss_decompress_needs(decompress) + MIB - 1) / MIB, SS_DECOMPRESS_MEMORY_MAX / MIB);
    if (r == -EOPNOTSUPP)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "its %s data is packed in a way that is not known", name);
    if (r < 0 || job->inside->finding == SS_STREAM_DAMAGED)
        return r;
    uint64_t trailing = ss_decompress_trailing(decompress);
    if (trailing > 0)
        return ss_job_say(job, SS_STREAM_DAMAGED, "%" PRIu64 " bytes follow the end of its %s data", trailing, name);
    return 0;
}

static int check_deep(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed, const char *name)
{
    struct ss_decompress *decompress;

    int r = ss_decompress_open(job, start, packed, &decompress);
    if (r == -EOPNOTSUPP)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "%s is not built in here", name);
    if (r < 0)
        return r;
    struct ss_flow flow = {.read = ss_decompress_read, .source = decompress};
    r = ss_flow_open(&flow);
    if (r == 0)
        r = check_unpacked(job, decompress, &flow, name);
    ss_flow_close(&flow);
    ss_decompress_close(decompress);
    return r;
}

int ss_packed_stream_check(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed)
{
    const char *name = ss_libvirt_stream_name(packed);

    int r = check_ends(job, start, &packings[packed], name);
    if (r < 0 || !job->options->deep || job->inside->finding == SS_STREAM_DAMAGED)
        return r;
    return check_deep(job, start, packed, name);
}
