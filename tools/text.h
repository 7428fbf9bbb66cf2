/* Values as text for people: sizes, ages, times, and names that may hold any bytes. */
#ifndef SAVESEAL_TOOLS_TEXT_H
#define SAVESEAL_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TEXT_SIZE_MAX 24 /* "1023.9 GiB" */
#define TEXT_AGE_MAX 32  /* "213503982334601 d" */
#define TEXT_TIME_MAX 32 /* "2025-11-22T19:10:11Z" */

/* Length of the UTF-8 sequence at s, and its code point; 0 when it is none (overlong, surrogate, cut). */
size_t text_utf8(const char *s, uint32_t *code);

/* True when the whole string is UTF-8. */
bool text_is_utf8(const char *s);

/* A name as a word that a shell reads back byte for byte: bare, in '...', or in $'...' when it holds control
 * characters or bytes that are not UTF-8. The caller frees it. */
char *text_quote(const char *s);

/* Free text with everything replaced by '?' that could act on a terminal. The caller frees it. */
char *text_safe(const char *s);

/* Columns on a terminal, one for each code point. */
size_t text_width(const char *s);

void text_size(uint64_t bytes, char buf[TEXT_SIZE_MAX]);
void text_age(int64_t seconds, char buf[TEXT_AGE_MAX]);

/* UTC as on disk, YYYY-MM-DDTHH:MM:SSZ; "?" for a time that has no such form. */
void text_time(time_t when, char buf[TEXT_TIME_MAX]);

#endif
