/* Can an incremental backup of a disk image rely on a bitmap? */
#ifndef SAVESEAL_CORE_CHECK_BITMAP_H
#define SAVESEAL_CORE_CHECK_BITMAP_H

#include <stdint.h>

#include "judgement.h"

struct ss_bitmap_question {
    const char *name, *disk;    /* the bitmap's; what libvirt calls the disk, in whose words the answer is */
    const char *format;         /* what it takes the image for; NULL: what the image says */
    int (*step)(void *context); /* called after some MiB that were read; what it returns other than 0 (-errno) ends it.
                                 * May be NULL */
    void *context;
};

/* SS_INTACT: good, the whole backing chain down. SS_BITMAP_MISSING, also for a gap in the chain or a chain that can not
 * be used; SS_BITMAP_UNSUPPORTED where the format is not qcow2; SS_BUSY while a program has the image open;
 * SS_CHANGED_WHILE_READING; SS_NOT_LOCAL where the chain leads to what is no local file; SS_NOT_REACHED when step said
 * -ECANCELED; or why something can not be read. *size (bytes) is that of the file, if it could be opened, else
 * untouched. Thread-safe. */
void ss_bitmap_check(const char *path, const struct ss_bitmap_question *asked, uint64_t *size,
                     struct ss_judgement *why);

#endif
