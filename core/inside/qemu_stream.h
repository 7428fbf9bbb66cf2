/* QEMU's migration stream, from migration/savevm.c: devices' states carry no length, so it can not be walked without
 * the devices. What can be told is whether it was written to its end, whether the machine's memory in it holds
 * together, and whether each device has its place. */
#ifndef SAVESEAL_CORE_INSIDE_QEMU_STREAM_H
#define SAVESEAL_CORE_INSIDE_QEMU_STREAM_H

#include "flow.h"
#include "job.h"

/* Bytes: what of a stream that is not strange is kept in memory while it is read. */
#define SS_STREAM_MEMORY ((size_t)3 << 19)

/* What a stream that comes out of a flow takes by now, in bytes: each side reserves for both. */
struct ss_stream_memory {
    size_t source; /* what the flow comes from */
    size_t reader; /* what is kept of it; below SS_STREAM_MEMORY it is not told */
};

/* Checks the stream that begins at start and should end with the file; mapped: it has to be mapped-ram. Says a finding;
 * returns 0 or -errno. */
int ss_qemu_stream_check(const struct ss_job *job, uint64_t start, bool mapped);

/* The same of a stream that comes out of a flow and is read to its end. When the flow has an error, that is returned
 * and nothing is said. */
int ss_qemu_stream_check_flow(const struct ss_job *job, struct ss_flow *flow, struct ss_stream_memory *memory);

#endif
