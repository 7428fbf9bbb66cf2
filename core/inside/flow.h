/* Bytes that are read one after the other, from a file or out of a decompressor, with a look ahead. */
#ifndef SAVESEAL_CORE_INSIDE_FLOW_H
#define SAVESEAL_CORE_INSIDE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SS_FLOW_PEEK_MAX ((size_t)64 << 10)

struct ss_flow {
    /* Returns how many bytes it read, 0 at the end, or -errno. */
    ssize_t (*read)(void *source, void *buf, size_t len);
    /* Passes over len bytes; 0 or -errno. NULL: they are read. A place past the end is found out by the next read. */
    int (*skip)(void *source, uint64_t len);
    void *source;
    uint64_t taken; /* bytes that were taken or skipped */
    int error;      /* what read or skip failed with: nothing comes any more */

    unsigned char *buf; /* the rest is for flow.c */
    size_t at, have;
};

/* read, skip and source are set. Returns 0 or -ENOMEM. */
int ss_flow_open(struct ss_flow *flow);
void ss_flow_close(struct ss_flow *flow);

/* The next len bytes, at most SS_FLOW_PEEK_MAX, which are valid until the next call. NULL when there are not so many,
 * or after an error. take goes on behind them. */
const unsigned char *ss_flow_peek(struct ss_flow *flow, size_t len);
const unsigned char *ss_flow_take(struct ss_flow *flow, size_t len);

/* Goes on behind the next len bytes. False when there are not so many, as far as it is known, or after an error. */
bool ss_flow_skip(struct ss_flow *flow, uint64_t len);

/* Up to len of the bytes that come. Returns how many, 0 at the end, or -errno. */
ssize_t ss_flow_drain(struct ss_flow *flow, void *to, size_t len);

#endif
