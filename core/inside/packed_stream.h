/* QEMU's migration stream as it comes out of a compressor, at the end of a libvirt save image. */
#ifndef SAVESEAL_CORE_INSIDE_PACKED_STREAM_H
#define SAVESEAL_CORE_INSIDE_PACKED_STREAM_H

#include "job.h"
#include "libvirt_header.h"

/* Checks what begins at start and should end with the file. Not deep: by the marks at its two ends, if its format has
 * such; deep: all of it is decompressed. Says a finding; returns 0 or -errno. */
int ss_packed_stream_check(const struct ss_job *job, uint64_t start, enum ss_libvirt_stream packed);

#endif
