/* Decompression of a part of a file: gzip by zlib, because libarchive leaves gzip's checksums unread; xz by liblzma;
 * lzop by liblzo2; bzip2 and zstd by libarchive. No program is ever started for it. The data says how much memory it
 * needs, and gets no more than SS_DECOMPRESS_MEMORY_MAX, after the job has reserved it. */
#ifndef SAVESEAL_CORE_INSIDE_DECOMPRESS_H
#define SAVESEAL_CORE_INSIDE_DECOMPRESS_H

#include <sys/types.h>

#include "job.h"
#include "libvirt_header.h"
#include "qemu_stream.h"

/* Bytes: enough for xz -8 and zstd --ultra -20. */
#define SS_DECOMPRESS_MEMORY_MAX ((uint64_t)34 << 20)

struct ss_decompress;

/* For what begins at start and ends with the file: gzip, bzip2, xz, lzop or zstd. Returns 0 or -ENOMEM, or -EOPNOTSUPP
 * when the library was built without it. */
int ss_decompress_open(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed,
                       struct ss_decompress **decompress);
void ss_decompress_close(struct ss_decompress *decompress);

/* Reads on. Returns how many bytes, 0 at the end; -EBADMSG when the data is damaged or ends early; -E2BIG when it
 * needs too much memory; -EOPNOTSUPP when it is packed in a way that is not known; or another -errno.
 * decompress is a struct ss_decompress, so that it serves as an ss_flow's source. Steps the job each time. */
ssize_t ss_decompress_read(void *decompress, void *buf, size_t len);

/* After -EBADMSG: why. */
const char *ss_decompress_why(const struct ss_decompress *decompress);

/* After -E2BIG: how many bytes it needs. */
uint64_t ss_decompress_needs(const struct ss_decompress *decompress);

/* What it has reserved so far as source, 0 for little; whoever reads writes what he keeps. Valid as long as decompress
 * is. */
struct ss_stream_memory *ss_decompress_memory(struct ss_decompress *decompress);

/* After the end: how many bytes of the file come behind what was decompressed. */
uint64_t ss_decompress_trailing(const struct ss_decompress *decompress);

#endif
