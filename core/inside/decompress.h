/* Decompression of a part of a file, by libarchive, and of gzip by zlib, because libarchive leaves gzip's checksums
 * unread. No program is ever started for it. Memory is bounded by what the libraries let a file ask for (1 GiB of
 * address space with xz, 128 MiB with zstd). */
#ifndef SAVESEAL_CORE_INSIDE_DECOMPRESS_H
#define SAVESEAL_CORE_INSIDE_DECOMPRESS_H

#include <sys/types.h>

#include "job.h"
#include "libvirt_header.h"

struct ss_decompress;

/* For what begins at start and ends with the file: gzip, bzip2, xz or zstd. Returns 0 or -ENOMEM, or -EOPNOTSUPP when
 * the library was built without it. */
int ss_decompress_open(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed,
                       struct ss_decompress **decompress);
void ss_decompress_close(struct ss_decompress *decompress);

/* Reads on. Returns how many bytes, 0 at the end; -EBADMSG when the data is damaged or ends early; or another -errno.
 * decompress is a struct ss_decompress, so that it serves as an ss_flow's source. Steps the job. */
ssize_t ss_decompress_read(void *decompress, void *buf, size_t len);

/* After -EBADMSG: why. */
const char *ss_decompress_why(const struct ss_decompress *decompress);

/* After the end: how many bytes of the file come behind what was decompressed. */
uint64_t ss_decompress_trailing(const struct ss_decompress *decompress);

#endif
