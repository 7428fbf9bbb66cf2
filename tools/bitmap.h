/* A bitmap of a disk image, as it is named on the command line. */
#ifndef SAVESEAL_TOOLS_BITMAP_H
#define SAVESEAL_TOOLS_BITMAP_H

#include <stdint.h>

#include "core/check/judgement.h"
#include "limit.h"

/* ss_bitmap_check() with NAME or NAME=DISK for what is asked; without DISK it is the file's name. Ends early when the
 * run does. */
void bitmap_check_named(const char *path, const char *wanted, struct limit *limit, uint64_t *size,
                        struct ss_judgement *why);

#endif
