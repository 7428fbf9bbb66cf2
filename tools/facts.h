/* What is known of the inside of an image, for people and for programs. */
#ifndef SAVESEAL_TOOLS_FACTS_H
#define SAVESEAL_TOOLS_FACTS_H

#include <jansson.h>

#include "core/inside/inside.h"

/* Prints its kind, what its own marks say, and each fact, one "  KEY:  TEXT" line each. */
void facts_print(const struct ss_inside *inside);

/* {"kind", "title", "finding", "detail", "facts": {KEY: TEXT, ...}}; a key that stands several times has an array. */
json_t *facts_json(const struct ss_inside *inside);

#endif
