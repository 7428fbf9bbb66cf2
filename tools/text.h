/* Values as text for people: sizes, ages, times, and names that may hold any bytes. */
#ifndef SAVESEAL_TOOLS_TEXT_H
#define SAVESEAL_TOOLS_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TEXT_SIZE_MAX 24 /* "1023.9 GiB" */
#define TEXT_AGE_MAX 32  /* "213503982334601 d" */
#define TEXT_TIME_MAX 32 /* "2025-11-22T19:10:11Z" */

/* ss_quote() and ss_quote_safe() that never fail. The caller frees the string. */
char *text_quote(const char *s);
char *text_safe(const char *s);

/* Columns on a terminal, one for each code point. */
size_t text_width(const char *s);

/* The path of the draft with this id in dir, as salvage and discard take it. The caller frees it. */
char *text_draft_path(const char *dir, const char *id);

void text_size(uint64_t bytes, char buf[TEXT_SIZE_MAX]);
void text_age(int64_t seconds, char buf[TEXT_AGE_MAX]);

/* UTC as on disk, YYYY-MM-DDTHH:MM:SSZ; "?" for a time that has no such form. */
void text_time(time_t when, char buf[TEXT_TIME_MAX]);

#endif
