#include "json_part.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"

/* Bytes that jansson 2.14 takes, on 64 bits and with what malloc adds: an object or array and its first element, which
 * has no comma before it; a value that is a short string, and its place in an array; a key, and its places in the table
 * of its object while that grows. */
#define OBJECT_MEMORY 400U
#define ARRAY_MEMORY 300U
#define VALUE_MEMORY 112U
#define KEY_MEMORY 144U
#define TEXT_TIMES 3U /* a string is put together in a buffer that doubles, and then copied */

char ss_json_peek(struct ss_json_text *json)
{
    while (json->at < json->len && json->text[json->at] && strchr(" \t\n\r", json->text[json->at]))
        json->at++;
    return json->at < json->len ? json->text[json->at] : '\0';
}

bool ss_json_take(struct ss_json_text *json, char wanted)
{
    if (ss_json_peek(json) != wanted || json->at == json->len)
        return false;
    json->at++;
    return true;
}

/* Returns where the string ends that begins at at: behind its quote, or at the end of the text. */
static size_t string_end(const struct ss_json_text *json, size_t at)
{
    for (at++; at < json->len && json->text[at] != '"'; at++) {
        if (json->text[at] == '\\')
            at++;
    }
    return at < json->len ? at + 1 : json->len;
}

static size_t memory_of(char c)
{
    return c == '{' ? OBJECT_MEMORY : c == '[' ? ARRAY_MEMORY : c == ',' ? VALUE_MEMORY : c == ':' ? KEY_MEMORY : 0;
}

size_t ss_json_measure(const struct ss_json_text *json, size_t *memory)
{
    size_t at = json->at, depth = 0;

    *memory = VALUE_MEMORY;
    while (at < json->len) {
        char c = json->text[at];
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        at = c == '"' ? string_end(json, at) : at + 1;
        *memory += memory_of(c);
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            break;
    }
    *memory += TEXT_TIMES * (at - json->at);
    return at - json->at;
}

json_t *ss_json_value(struct ss_json_text *json, size_t memory_max, bool *too_large, json_error_t *error)
{
    size_t memory;

    ss_json_peek(json);
    size_t len = ss_json_measure(json, &memory);
    *too_large = memory > memory_max;
    if (*too_large)
        return NULL;
    if (!ss_memory_is_there(memory)) {
        snprintf(error->text, sizeof error->text, "out of memory");
        return NULL;
    }
    json_t *value = json_loadb(json->text + json->at, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
    if (value)
        json->at += len;
    return value;
}
