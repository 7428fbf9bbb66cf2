/* Can an incremental backup of a disk image rely on a bitmap? */
#ifndef SAVESEAL_CORE_CHECK_BITMAP_H
#define SAVESEAL_CORE_CHECK_BITMAP_H

#include <stdint.h>

#include "judgement.h"

/* disk is what libvirt calls the disk, in whose words the answer is; format what it takes the image for, or NULL for
 * what the image says. SS_INTACT: good, the whole backing chain down. SS_BITMAP_MISSING, also for a gap in the chain or
 * a chain that can not be used; SS_BITMAP_UNSUPPORTED where the format is not qcow2; SS_BUSY while a program has the
 * image open; SS_CHANGED_WHILE_READING; SS_NOT_LOCAL where the chain leads to what is no local file; or why something
 * can not be read. *size (bytes) is that of the file, if it could be opened, else untouched. Thread-safe. */
void ss_bitmap_check(const char *path, const char *name, const char *disk, const char *format, uint64_t *size,
                     struct ss_judgement *why);

#endif
