/* How many files had which answer. */
#ifndef SAVESEAL_TOOLS_TALLY_H
#define SAVESEAL_TOOLS_TALLY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/check/check.h"

/* Each file is counted in one of them. */
enum tally_part {
    TALLY_WHOLE,         /* content (or bitmap) as it should be */
    TALLY_HEADER_INTACT, /* of the content nothing was seen */
    TALLY_COMPLETE,      /* no seal, but complete by its own marks */
    TALLY_DAMAGED,
    TALLY_INCONSISTENT,
    TALLY_UNKNOWN,
    TALLY_BEING_WRITTEN, /* a draft that is being written or waits, or the name that it is for */
    TALLY_INTERRUPTED,   /* a draft that was found in a tree */
    TALLY_TEMPORARY,     /* of class temporary, but for other reasons */
    TALLY_NOT_REACHED,
    TALLY_INVALID, /* could not be looked at */
    TALLY_PARTS
};

struct tally {
    size_t count[TALLY_PARTS];
    enum ss_class worst;
};

/* What a file counts as. listed: it was found in a tree; there an interrupted draft, which is no image, is nobody's
 * fault, and the status is not worse for it. */
enum tally_part tally_part(const struct ss_check *check, bool listed);

void tally_add(struct tally *tally, const struct ss_check *check, bool listed);

/* The key in JSON. */
const char *tally_key(enum tally_part part);

/* "12 images whole, 1 damaged". The caller frees it. */
char *tally_text(const struct tally *tally, bool bitmaps);

#endif
