/* The formats that are known, one a file. */
#ifndef SAVESEAL_CORE_INSIDE_FORMATS_H
#define SAVESEAL_CORE_INSIDE_FORMATS_H

#include "job.h"

extern const struct ss_inside_format ss_inside_libvirt;     /* libvirt_image.c */
extern const struct ss_inside_format ss_inside_qcow2;       /* qcow2_image.c */
extern const struct ss_inside_format ss_inside_qemu;        /* qemu_stream.c */
extern const struct ss_inside_format ss_inside_elf_dump;    /* elf_dump.c */
extern const struct ss_inside_format ss_inside_kdump_flat;  /* kdump.c */
extern const struct ss_inside_format ss_inside_kdump_raw;   /* kdump_raw.c */
extern const struct ss_inside_format ss_inside_safetensors; /* safetensors.c */
extern const struct ss_inside_format ss_inside_zip;         /* zip.c */

extern const struct ss_inside_directory_format ss_inside_criu; /* criu.c */

#endif
