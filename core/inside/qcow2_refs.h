/* All that a qcow2 image refers to, counted and compared with its reference counts, like qemu-img check does. */
#ifndef SAVESEAL_CORE_INSIDE_QCOW2_REFS_H
#define SAVESEAL_CORE_INSIDE_QCOW2_REFS_H

#include "job.h"
#include "qcow2_tables.h"

struct ss_qcow2_refs {
    uint64_t leaked; /* clusters that are counted more often than they are used */
    bool outdated;   /* the counts of an image that was not closed are too low */
    bool unproven;   /* the last cluster is shorter than what may have been written there */
};

/* Takes at most 17 MiB of memory, and reads at most 4 times as much as the file has, and 1 GiB. Returns 0; -EBADMSG
 * with the image's finding and why; -ENOMEM; what the job ends with; or the read's -errno. */
int ss_qcow2_refs_check(const struct ss_job *job, struct ss_qcow2 *image, const struct ss_qcow2_tables *tables,
                        struct ss_qcow2_refs *refs);

#endif
