/* JSON output, one object a line.
 *
 * File names and the texts in attributes can hold any bytes, JSON strings can not. A string KEY that is not UTF-8 is
 * written with U+FFFD for each byte that does not fit, and KEY_hex holds all of its bytes in hex. */
#ifndef SAVESEAL_TOOLS_JSON_LINE_H
#define SAVESEAL_TOOLS_JSON_LINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "report.h"

json_t *json_line_object(void);

/* An object that begins with the file that it is about: "image" or "draft". */
json_t *json_line_file(const char *path, const char *kind);

void json_line_text(json_t *object, const char *key, const char *bytes);
void json_line_number(json_t *object, const char *key, uint64_t value);
void json_line_signed(json_t *object, const char *key, int64_t value);
void json_line_bool(json_t *object, const char *key, bool value);
void json_line_time(json_t *object, const char *key, time_t when);
void json_line_null(json_t *object, const char *key);

/* Takes value over. */
void json_line_put(json_t *object, const char *key, json_t *value);

/* Adds finding, class, exit, sentence, advice and, if there is one, detail. */
void json_line_judgement(json_t *object, const struct ss_judgement *judgement);

/* Prints the object and a newline on stdout, and frees it. */
void json_line_print(json_t *object);

#endif
