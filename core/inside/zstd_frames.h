/* Follows zstd data from frame to frame, for what its heads say: libarchive takes as much memory as they want. Source:
 * RFC 8878. */
#ifndef SAVESEAL_CORE_INSIDE_ZSTD_FRAMES_H
#define SAVESEAL_CORE_INSIDE_ZSTD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero at first. */
struct ss_zstd_frames {
    uint64_t window; /* bytes: the largest that a frame so far needs */

    uint64_t skip; /* the rest is for zstd_frames.c: bytes to pass over before the next head */
    unsigned char head[18];
    size_t have; /* bytes of head */
    bool in_frame, checksum;
    bool lost; /* there is something that is no frame: whoever reads it will say so */
};

/* The next bytes of the data. */
void ss_zstd_frames_feed(struct ss_zstd_frames *frames, const unsigned char *bytes, size_t len);

#endif
