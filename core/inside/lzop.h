/* Files of lzop. libarchive can only have the program lzop decompress them, so their blocks are followed instead: their
 * lengths, the end, and what their checksums cover without decompression. From lzop's own source and file format. */
#ifndef SAVESEAL_CORE_INSIDE_LZOP_H
#define SAVESEAL_CORE_INSIDE_LZOP_H

#include "job.h"

/* Checks what begins at start, whose magic is right, and should end with the file. Says a finding; 0 or -errno. */
int ss_lzop_check(const struct ss_job *job, uint64_t start);

#endif
