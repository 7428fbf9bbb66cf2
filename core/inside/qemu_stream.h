/* QEMU's migration stream, from migration/savevm.c: devices' states carry no length, so it can not be walked without
 * the devices. What can be told is whether it was written to its end. */
#ifndef SAVESEAL_CORE_INSIDE_QEMU_STREAM_H
#define SAVESEAL_CORE_INSIDE_QEMU_STREAM_H

#include "job.h"

/* Checks the stream that begins at start and should end with the file. Says a finding; returns 0 or -errno. */
int ss_qemu_stream_check(const struct ss_job *job, uint64_t start);

#endif
