/* For the files of decompress alone. */
#ifndef SAVESEAL_CORE_INSIDE_DECOMPRESS_PART_H
#define SAVESEAL_CORE_INSIDE_DECOMPRESS_PART_H

#include <archive.h>
#include <lzma.h>
#include <zlib.h>

#include "decompress.h"
#include "zstd_frames.h"

#define SS_DECOMPRESS_INPUT ((size_t)256 << 10)

struct ss_decompress {
    const struct ss_job *job;
    uint64_t start, at; /* at: how far the file is read */
    int error;          /* -errno of the file or the job, which is not the data's fault */
    char why[160];
    struct ss_stream_memory memory;
    uint64_t needs;    /* after -E2BIG: bytes */
    uint64_t trailing; /* after the end */

    enum ss_libvirt_stream packed;
    bool opened, ended;
    struct archive *archive; /* bzip2, zstd; NULL behind its end */
    int filter;              /* of libarchive */
    struct ss_zstd_frames frames;
    z_stream gzip;
    lzma_stream xz;
    struct {
        uint32_t flags;     /* of its header */
        unsigned char *buf; /* a block, and behind the longest that there may be, what it was packed */
        size_t at, have;    /* what was not read yet of the block */
    } lzop;
    unsigned char input[SS_DECOMPRESS_INPUT];
};

/* The next bytes of the file into input, behind the first have. Returns how many, 0 at its end, or -errno. */
ssize_t ss_decompress_input(struct ss_decompress *d, size_t have);

/* Notes why the data is damaged. Returns -EBADMSG, or the error that is not the data's fault. */
int ss_decompress_damaged(struct ss_decompress *d, const char *why);

/* The data wants so much memory: waits for it. Returns 0; -E2BIG when that is too much; or what the job ends with. */
int ss_decompress_want(struct ss_decompress *d, uint64_t bytes);

/* xz by liblzma, because it can be told how much memory it may take, and tells how much it needs. As the functions in
 * decompress.h. */
int ss_decompress_xz_open(struct ss_decompress *d);
ssize_t ss_decompress_xz_read(struct ss_decompress *d, void *buf, size_t len);

/* lzop by liblzo2: libarchive can only have the program lzop decompress it. The same. */
int ss_decompress_lzop_open(struct ss_decompress *d);
ssize_t ss_decompress_lzop_read(struct ss_decompress *d, void *buf, size_t len);

#endif
