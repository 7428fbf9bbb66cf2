/* Durations as people write them. */
#ifndef SAVESEAL_TOOLS_DURATION_H
#define SAVESEAL_TOOLS_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a whole number with a unit, and nothing else: s, m (minutes), h, d or w: "90s", "12h", "7d". Up to some
 * centuries. Returns true with the seconds. */
bool duration_parse(const char *text, int64_t *seconds);

#endif
