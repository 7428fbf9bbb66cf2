/* The formats that are known, one a file. */
#ifndef SAVESEAL_CORE_INSIDE_FORMATS_H
#define SAVESEAL_CORE_INSIDE_FORMATS_H

#include "job.h"

extern const struct ss_inside_format ss_inside_libvirt; /* libvirt_image.c */
extern const struct ss_inside_format ss_inside_qemu;    /* qemu_stream.c */

#endif
