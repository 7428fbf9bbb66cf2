#include "quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t ss_utf8(const char *s, uint32_t *code)
{
    const unsigned char *u = (const unsigned char *)s;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = u[0] < 0x80             ? 1
                 : (u[0] & 0xe0) == 0xc0 ? 2
                 : (u[0] & 0xf0) == 0xe0 ? 3
                 : (u[0] & 0xf8) == 0xf0 ? 4
                                         : 0;

    if (len == 0)
        return 0;
    uint32_t value = len == 1 ? u[0] : u[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) { /* the string's NUL is no continuation, so this stops in time */
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (u[i] & 0x3f);
    }
    if (value < least[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return len;
}

bool ss_is_utf8(const char *s)
{
    uint32_t code;

    for (size_t len; *s; s += len) {
        len = ss_utf8(s, &code);
        if (len == 0)
            return false;
    }
    return true;
}

/* Control characters, and those that turn the direction of what follows or break lines. */
static bool acts_on_terminal(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

static bool needs_escape(const char *s)
{
    uint32_t code;

    for (size_t len; *s; s += len) {
        len = ss_utf8(s, &code);
        if (len == 0 || acts_on_terminal(code))
            return true;
    }
    return false;
}

static bool is_bare(const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x80 && !strchr(plain, *s))
            return false;
    return true;
}

static char *put(char *at, const char *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

/* $'...' with three octal digits for what needs an escape: \xHH would swallow a hex digit that follows in some shells.
 */
static char *quote_ansi(const char *s, char *at)
{
    uint32_t code;

    at = put(at, "$'", 2);
    for (size_t len; *s; s += len) {
        len = ss_utf8(s, &code);
        if (*s == '\n') {
            at = put(at, "\\n", 2);
        } else if (*s == '\'' || *s == '\\') {
            *at++ = '\\';
            *at++ = *s;
        } else if (len > 0 && !acts_on_terminal(code)) {
            at = put(at, s, len);
        } else {
            len = len > 0 ? len : 1;
            for (size_t i = 0; i < len; i++)
                at += snprintf(at, 5, "\\%03o", (unsigned char)s[i]);
        }
    }
    return put(at, "'", 2);
}

static char *quote_single(const char *s, char *at)
{
    *at++ = '\'';
    for (; *s; s++) {
        if (*s == '\'')
            at = put(at, "'\\''", 4);
        else
            *at++ = *s;
    }
    return put(at, "'", 2);
}

char *ss_quote(const char *s)
{
    char *quoted = malloc(4 * strlen(s) + sizeof "$''");

    if (!quoted)
        return NULL;
    if (needs_escape(s))
        quote_ansi(s, quoted);
    else if (is_bare(s))
        memcpy(quoted, s, strlen(s) + 1);
    else
        quote_single(s, quoted);
    return quoted;
}

char *ss_quote_safe(const char *s)
{
    char *safe = malloc(strlen(s) + 1), *at = safe;
    uint32_t code;

    if (!safe)
        return NULL;
    for (size_t len; *s; s += len) {
        len = ss_utf8(s, &code);
        if (len > 0 && !acts_on_terminal(code)) {
            at = put(at, s, len);
        } else {
            *at++ = '?';
            len = len > 0 ? len : 1;
        }
    }
    *at = '\0';
    return safe;
}
