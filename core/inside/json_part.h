/* JSON of any size is read a value at a time, so that memory does not grow with it: where a value ends, and what
 * jansson would take to read it. */
#ifndef SAVESEAL_CORE_INSIDE_JSON_PART_H
#define SAVESEAL_CORE_INSIDE_JSON_PART_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct ss_json_text {
    const char *text;
    size_t at, len; /* bytes: of the next one that is looked at, and of all */
};

/* The next byte that is no space, or 0 at the end. */
char ss_json_peek(struct ss_json_text *json);

/* Goes on behind it, if it is that. */
bool ss_json_take(struct ss_json_text *json, char wanted);

/* How many bytes the next value has, as far as the text goes, and at most how much memory it takes when it is read. */
size_t ss_json_measure(const struct ss_json_text *json, size_t *memory);

/* The next value, if it does not take more than memory_max bytes; the caller frees it. Else NULL: with *too_large, or
 * else with *error. */
json_t *ss_json_value(struct ss_json_text *json, size_t memory_max, bool *too_large, json_error_t *error);

#endif
