#include "flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER ((size_t)256 << 10)

int ss_flow_open(struct ss_flow *flow)
{
    flow->taken = 0;
    flow->error = 0;
    flow->at = flow->have = 0;
    flow->buf = malloc(BUFFER);
    return flow->buf ? 0 : -ENOMEM;
}

void ss_flow_close(struct ss_flow *flow)
{
    free(flow->buf);
    flow->buf = NULL;
}

/* Reads more behind what there is. False at the end or after an error. */
static bool fill(struct ss_flow *flow)
{
    if (flow->error)
        return false;
    memmove(flow->buf, flow->buf + flow->at, flow->have);
    flow->at = 0;
    ssize_t n = flow->read(flow->source, flow->buf + flow->have, BUFFER - flow->have);
    if (n < 0)
        flow->error = (int)n;
    flow->have += n > 0 ? (size_t)n : 0;
    return n > 0;
}

const unsigned char *ss_flow_peek(struct ss_flow *flow, size_t len)
{
    while (flow->have < len) {
        if (len > SS_FLOW_PEEK_MAX || !fill(flow))
            return NULL;
    }
    return flow->buf + flow->at;
}

static void consume(struct ss_flow *flow, size_t len)
{
    flow->at += len;
    flow->have -= len;
    flow->taken += len;
}

const unsigned char *ss_flow_take(struct ss_flow *flow, size_t len)
{
    const unsigned char *bytes = ss_flow_peek(flow, len);

    if (bytes)
        consume(flow, len);
    return bytes;
}

bool ss_flow_skip(struct ss_flow *flow, uint64_t len)
{
    while (len > 0) {
        size_t n = len < flow->have ? (size_t)len : flow->have;
        consume(flow, n);
        len -= n;
        if (len >= BUFFER && flow->skip && !flow->error) {
            flow->error = flow->skip(flow->source, len);
            flow->taken += len;
            return flow->error == 0;
        }
        if (len > 0 && !fill(flow))
            return false;
    }
    return true;
}

ssize_t ss_flow_drain(struct ss_flow *flow, void *to, size_t len)
{
    if (flow->have == 0 && !fill(flow))
        return flow->error;
    size_t n = len < flow->have ? len : flow->have;
    memcpy(to, flow->buf + flow->at, n);
    consume(flow, n);
    return (ssize_t)n;
}
