/* Names and texts that may hold any bytes, made fit for a terminal and a shell. */
#ifndef SAVESEAL_CORE_CHECK_QUOTE_H
#define SAVESEAL_CORE_CHECK_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the UTF-8 sequence at s, and its code point; 0 when it is none (overlong, surrogate, cut). */
size_t ss_utf8(const char *s, uint32_t *code);

/* True when the whole string is UTF-8. */
bool ss_is_utf8(const char *s);

/* A name as a word that a shell reads back byte for byte: bare, in '...', or in $'...' when it holds control
 * characters or bytes that are not UTF-8. The caller frees it. NULL without memory. */
char *ss_quote(const char *s);

/* Free text with everything replaced by '?' that could act on a terminal. The caller frees it. NULL without memory. */
char *ss_quote_safe(const char *s);

#endif
