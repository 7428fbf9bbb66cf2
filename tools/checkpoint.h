/* libvirt's definition of a checkpoint, as virsh checkpoint-dumpxml prints it. */
#ifndef SAVESEAL_TOOLS_CHECKPOINT_H
#define SAVESEAL_TOOLS_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "report.h"

/* A disk that the checkpoint has a bitmap of. */
struct checkpoint_disk {
    char *name;   /* as the checkpoint calls it: its target ("vdb") */
    char *bitmap; /* the bitmap's name */
    char *type;   /* of the image: "qcow2", "raw", ...; NULL when the domain does not tell: raw for libvirt */
    char *path;   /* of the image; NULL when it is no local file, or the domain does not have the disk */
    bool known;   /* the domain has the disk */
};

struct checkpoint {
    struct checkpoint_disk *disks;
    size_t count;
    size_t known; /* of them, those that the domain has */
};

/* Reads the definition, and the domain from domain_path, or from within the definition when that is NULL. True; or
 * false with what is wrong, and with which of the two files. checkpoint_free in both cases. */
bool checkpoint_read(const char *path, const char *domain_path, struct checkpoint *checkpoint, const char **culprit,
                     struct ss_judgement *why);
void checkpoint_free(struct checkpoint *checkpoint);

#endif
