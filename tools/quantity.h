/* Sizes and durations as people type them. */
#ifndef SAVESEAL_TOOLS_QUANTITY_H
#define SAVESEAL_TOOLS_QUANTITY_H

#include <stdint.h>

/* Digits, and one of K M G T (or KiB ...) for powers of 1024. At least 1. Returns 0, -EINVAL for what is not of that
 * form, or -ERANGE beyond what a file can have. */
int quantity_size(const char *text, uint64_t *bytes);

/* Digits, and one of s m h d w; without it seconds. At least 1 second, at most 10 years. Returns as above. */
int quantity_seconds(const char *text, uint64_t *seconds);

/* How old something may be: the same with a unit that is not left out, and from 0 to 3000 years. */
int quantity_age(const char *text, uint64_t *seconds);

/* A count from 1 to max. Returns as above. */
int quantity_count(const char *text, uint64_t max, uint64_t *count);

#endif
