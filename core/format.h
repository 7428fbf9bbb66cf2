/* What kind of image a file is, how long its header is, and whether the format itself says that it is complete. */
#ifndef SAVESEAL_CORE_FORMAT_H
#define SAVESEAL_CORE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ss_format {
    SS_FORMAT_UNKNOWN, /* anything else: header is the first 4096 bytes */
    SS_FORMAT_LIBVIRT, /* libvirt QEMU save image, either byte order */
    SS_FORMAT_QEMU,    /* bare QEMU migration stream */
    SS_FORMAT_QCOW2,
    SS_FORMAT_COUNT
};

enum ss_completion {
    SS_COMPLETION_NO_MARK, /* the format has nothing to say */
    SS_COMPLETION_PARTIAL, /* the format's own mark, or fields that contradict the size, say: not complete */
    SS_COMPLETION_DONE,    /* the format's own mark says: complete */
};

struct ss_format_probe {
    enum ss_format format;
    enum ss_completion completion;
    bool marked_partial; /* it is the mark itself that says PARTIAL */
    uint64_t header_len; /* bytes that the seal's header digest covers: at most the file's size, SS_FORMAT_HEADER_MAX */
    char why[128];       /* for PARTIAL: what says so, as a clause ("the magic is LibvirtQemudPart"); else empty */
};

#define SS_FORMAT_HEAD 4096 /* bytes from the start that a probe wants to see (fewer only if the file is shorter) */

/* What is called a header at most, in bytes: it is read at each open, and its length stands in the file. The largest
 * are libvirt's, of a description that libvirt itself passes on up to 4 MiB and of 64 KiB of room for a longer one;
 * qcow2's are at most 2 MiB. Of a longer one this much is covered; the digest of the whole covers the rest. */
#define SS_FORMAT_HEADER_MAX (UINT64_C(16) << 20)

/* Judges a file by its first head_len bytes and its size. Pure and total: any bytes give an answer. */
void ss_format_probe(const void *head, size_t head_len, uint64_t size, struct ss_format_probe *probe);

/* The same on a descriptor (pread). Returns 0 or -errno. */
int ss_format_probe_fd(int fd, uint64_t size, struct ss_format_probe *probe);

/* Stable names: "unknown", "libvirt", "qemu", "qcow2". */
const char *ss_format_name(enum ss_format format);

/* Returns 0 or -EINVAL. */
int ss_format_parse(const char *name, enum ss_format *format);

#endif
