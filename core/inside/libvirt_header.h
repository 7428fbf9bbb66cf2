/* The header of libvirt's save image: src/qemu/qemu_saveimage.h in libvirt. The host that saved wrote it as it lay in
 * its memory, in its own byte order. */
#ifndef SAVESEAL_CORE_INSIDE_LIBVIRT_HEADER_H
#define SAVESEAL_CORE_INSIDE_LIBVIRT_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#define SS_LIBVIRT_HEADER_LEN 92
#define SS_LIBVIRT_VERSION_MAX 2

/* What the stream behind the description is packed with. */
enum ss_libvirt_stream {
    SS_LIBVIRT_RAW,
    SS_LIBVIRT_GZIP,
    SS_LIBVIRT_BZIP2,
    SS_LIBVIRT_XZ,
    SS_LIBVIRT_LZOP,
    SS_LIBVIRT_ZSTD,
    SS_LIBVIRT_SPARSE, /* not packed: QEMU's mapped-ram */
    SS_LIBVIRT_STREAM_COUNT
};

struct ss_libvirt_header {
    bool swapped;         /* in the other byte order than this host's */
    uint32_t version;     /* above SS_LIBVIRT_VERSION_MAX: of no version that is known, the rest means nothing */
    uint32_t data_len;    /* bytes that follow the header: domain XML, cookie, padding. The stream comes after them */
    uint32_t was_running; /* 1: a restore lets the machine run */
    uint32_t stream;      /* enum ss_libvirt_stream, or something else; SS_LIBVIRT_RAW in versions that had no choice */
    uint32_t cookie_offset; /* from the end of the header; 0: no cookie */
};

/* Takes the fields out of the bytes, whatever they are; the magic is not looked at. */
void ss_libvirt_header_decode(const unsigned char bytes[SS_LIBVIRT_HEADER_LEN], struct ss_libvirt_header *header);

/* "raw", "gzip", ..., as libvirt's configuration has them; NULL for what is no enum ss_libvirt_stream. */
const char *ss_libvirt_stream_name(uint32_t stream);

#endif
