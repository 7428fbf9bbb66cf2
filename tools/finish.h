/* A save image of libvirt that is complete but for its magic: the proof, and the sixteen bytes.
 *
 * libvirt writes the image with the magic "LibvirtQemudPart", and puts "LibvirtQemudSave" in its place when all of it
 * is on the disk: src/qemu/qemu_saveimage.c in libvirt. */
#ifndef SAVESEAL_TOOLS_FINISH_H
#define SAVESEAL_TOOLS_FINISH_H

#include <stdbool.h>

#include "core/inside/inside.h"
#include "report.h"
#include "watch.h"

struct finish_proof {
    bool marked; /* its magic says complete already: whoever finished it before did not get to the end */
    struct ss_inside inside;
    char what[SS_FACT_TEXT_MAX + 64]; /* "libvirt save image of vm1, 1.2 GiB", for people; may hold any bytes */
};

/* Checks all of a file that is open. Returns true when it is a save image of libvirt that would be complete if its
 * magic said so, or false with the reason. Ends early when *watch_stop() becomes true. */
bool finish_prove(const char *path, int fd, struct finish_proof *proof, struct ss_judgement *why);

/* Writes the magic, if it has to be, and syncs the file. fd: open for writing. *marked: the file as it was right behind
 * that, for watch_has_same_content; it needs no end. Returns false with the reason. */
bool finish_mark(int fd, const struct finish_proof *proof, struct watch *marked, struct ss_judgement *why);

#endif
