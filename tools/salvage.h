/* How a draft becomes a plain file: a rename, a copy, or a save through a mount. */
#ifndef SAVESEAL_TOOLS_SALVAGE_H
#define SAVESEAL_TOOLS_SALVAGE_H

#include <stdbool.h>

#include "core/format.h"
#include "core/check/draftfile.h"
#include "core/check/place.h"
#include "report.h"

/* Gives the bytes of a draft that was taken the name in place, durably, and never over another file. Returns true; or
 * false with the reason, and then the draft is as it was and the name is not ours. */
bool salvage_to(const struct ss_draftfile *draft, const struct ss_format_probe *probe, const struct ss_place *place,
                const char *name, struct ss_judgement *why);

/* Deletes the draft if it is still there, which it is after a copy. Returns 0 or -errno. */
int salvage_finish(const struct ss_draftfile *draft);

#endif
