#include <errno.h>

#include "decompress_part.h"

#define MEMORY_FIRST 1 /* bytes: it asks for what it needs when it knows that */

int ss_decompress_xz_open(struct ss_decompress *d)
{
    return lzma_stream_decoder(&d->xz, MEMORY_FIRST, LZMA_CONCATENATED) == LZMA_OK ? 0 : -ENOMEM;
}

static int give_memory(struct ss_decompress *d)
{
    uint64_t bytes = lzma_memusage(&d->xz);

    int r = ss_decompress_want(d, bytes);
    if (r < 0)
        return r;
    return lzma_memlimit_set(&d->xz, bytes) == LZMA_OK ? 0 : -ENOMEM;
}

static const char *why_not(lzma_ret r)
{
    switch (r) {
    case LZMA_FORMAT_ERROR:
        return "it is no xz data";
    case LZMA_OPTIONS_ERROR:
        return "it is of a kind that is not known";
    case LZMA_BUF_ERROR:
        return "it ends early";
    default:
        return "it contradicts itself, or its checksum";
    }
}

/* One step. Returns 0 or -errno; d->ended is set behind the last of the data. */
static int decode(struct ss_decompress *d)
{
    if (d->xz.avail_in == 0) {
        ssize_t n = ss_decompress_input(d, 0);
        if (n < 0)
            return (int)n;
        d->xz.next_in = d->input;
        d->xz.avail_in = (size_t)n;
    }
    lzma_ret r = lzma_code(&d->xz, d->xz.avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
    if (r == LZMA_MEMLIMIT_ERROR)
        return give_memory(d);
    if (r == LZMA_MEM_ERROR)
        return -ENOMEM;
    d->ended = r == LZMA_STREAM_END;
    return r == LZMA_OK || d->ended ? 0 : ss_decompress_damaged(d, why_not(r));
}

ssize_t ss_decompress_xz_read(struct ss_decompress *d, void *buf, size_t len)
{
    d->xz.next_out = buf;
    d->xz.avail_out = len;
    while (d->xz.avail_out == len && !d->ended) {
        int r = decode(d);
        if (r < 0)
            return r;
    }
    size_t n = len - d->xz.avail_out;
    if (d->ended)
        lzma_end(&d->xz); /* its memory is needed elsewhere */
    return (ssize_t)n;
}
