/* What speaks for a draft: is it whole, whatever ended its save? */
#ifndef SAVESEAL_TOOLS_WHOLE_H
#define SAVESEAL_TOOLS_WHOLE_H

#include "core/check/draftfile.h"
#include "core/inside/inside.h"

/* What a file of size bytes is but for libvirt's mark: a short look, and where that can not tell one at all of it, with
 * progress under path's name. Returns 0 or ss_inside_check's -errno. */
int whole_look(const char *path, int fd, uint64_t size, struct ss_inside *inside);

/* May the draft, which has a record, be the only whole copy of something? Returns 1, 0, or -errno when nobody could
 * look: then it may be. */
int whole_may_be(const char *path, const struct ss_draftfile *draft);

#endif
