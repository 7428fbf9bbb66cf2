/* Names that are not there. Each may be that of an image that is being saved for the first time, which only a search of
 * the directory's drafts can tell; of thousands of names in one directory, this one searches it once. Not thread-safe.
 */
#ifndef SAVESEAL_TOOLS_ABSENT_H
#define SAVESEAL_TOOLS_ABSENT_H

#include <stdbool.h>

#include "names.h"

/* All zero is an empty one. */
struct absent {
    char *dir;            /* the directory that was searched last, with slash; or NULL */
    bool searched;        /* and that went well */
    struct names targets; /* the public names of its drafts */
};

/* Is there nothing of that name, and no draft of it either? False also when that can not be told. */
bool absent_is(struct absent *absent, const char *path);

void absent_free(struct absent *absent);

#endif
