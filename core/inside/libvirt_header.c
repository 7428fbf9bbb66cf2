#include "libvirt_header.h"

#include <byteswap.h>
#include <stddef.h>
#include <string.h>

enum {
    AT_VERSION = 16,
    AT_DATA_LEN = 20,
    AT_WAS_RUNNING = 24,
    AT_STREAM = 28,
    AT_COOKIE_OFFSET = 32,
};

static const char *const names[SS_LIBVIRT_STREAM_COUNT] = {
    [SS_LIBVIRT_RAW] = "raw",   [SS_LIBVIRT_GZIP] = "gzip", [SS_LIBVIRT_BZIP2] = "bzip2",   [SS_LIBVIRT_XZ] = "xz",
    [SS_LIBVIRT_LZOP] = "lzop", [SS_LIBVIRT_ZSTD] = "zstd", [SS_LIBVIRT_SPARSE] = "sparse",
};

static uint32_t field(const unsigned char *bytes, size_t at, bool swapped)
{
    uint32_t value;

    memcpy(&value, bytes + at, sizeof value);
    return swapped ? bswap_32(value) : value;
}

void ss_libvirt_header_decode(const unsigned char bytes[SS_LIBVIRT_HEADER_LEN], struct ss_libvirt_header *header)
{
    bool swapped = field(bytes, AT_VERSION, false) > SS_LIBVIRT_VERSION_MAX;

    *header = (struct ss_libvirt_header){
        .swapped = swapped,
        .version = field(bytes, AT_VERSION, swapped),
        .data_len = field(bytes, AT_DATA_LEN, swapped),
        .was_running = field(bytes, AT_WAS_RUNNING, swapped),
        .stream = field(bytes, AT_STREAM, swapped),
        .cookie_offset = field(bytes, AT_COOKIE_OFFSET, swapped),
    };
    if (header->version < SS_LIBVIRT_VERSION_MAX)
        header->stream = SS_LIBVIRT_RAW;
}

const char *ss_libvirt_stream_name(uint32_t stream)
{
    return stream < SS_LIBVIRT_STREAM_COUNT ? names[stream] : NULL;
}
