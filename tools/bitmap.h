/* Can an incremental backup of a disk image rely on a bitmap? */
#ifndef SAVESEAL_TOOLS_BITMAP_H
#define SAVESEAL_TOOLS_BITMAP_H

#include <stdint.h>

#include "report.h"

/* disk is what libvirt calls the disk, in whose words the answer is: SS_INTACT; SS_BITMAP_MISSING, also when the
 * backing chain has a gap; SS_BITMAP_UNSUPPORTED where the image is none of qcow2; SS_BUSY while a virtual machine has
 * it open; or why it can not be read. *size is that of the file. */
void bitmap_check(const char *path, const char *name, const char *disk, uint64_t *size, struct judgement *why);

/* asked: NAME or NAME=DISK; without DISK it is the file's name. */
void bitmap_check_named(const char *path, const char *asked, uint64_t *size, struct judgement *why);

#endif
