/* Giving a seal to a file that is there already. */
#ifndef SAVESEAL_TOOLS_SEALING_H
#define SAVESEAL_TOOLS_SEALING_H

#include <stdbool.h>

#include "core/seal.h"
#include "report.h"
#include "watch.h"

/* Seals a file as it is, whole and durably: its data are on the disk before it has the seal, and the seal when this
 * returns. fd: open, watched. path: for the progress line. writer: as the seal tells it. Returns true; or false with
 * the reason, and then it has no new seal (after trouble with the disk none at all). */
bool sealing_make(int fd, const char *path, const char *writer, const struct watch *watch, struct ss_judgement *why);

#endif
