#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utc.h"
#include "core/util.h"
#include "report.h"

size_t text_utf8(const char *s, uint32_t *code)
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

bool text_is_utf8(const char *s)
{
    uint32_t code;

    for (size_t len; *s; s += len) {
        len = text_utf8(s, &code);
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
        len = text_utf8(s, &code);
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
        len = text_utf8(s, &code);
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

char *text_quote(const char *s)
{
    char *quoted = report_must(malloc(4 * strlen(s) + sizeof "$''"));

    if (needs_escape(s))
        quote_ansi(s, quoted);
    else if (is_bare(s))
        memcpy(quoted, s, strlen(s) + 1);
    else
        quote_single(s, quoted);
    return quoted;
}

char *text_safe(const char *s)
{
    char *safe = report_must(malloc(strlen(s) + 1)), *at = safe;
    uint32_t code;

    for (size_t len; *s; s += len) {
        len = text_utf8(s, &code);
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

size_t text_width(const char *s)
{
    size_t width = 0;

    for (; *s; s++)
        width += ((unsigned char)*s & 0xc0) != 0x80;
    return width;
}

void text_size(uint64_t bytes, char buf[TEXT_SIZE_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(buf, TEXT_SIZE_MAX, "%u B", (unsigned)bytes);
        return;
    }
    for (; value >= 1023.95 && unit + 1 < SS_ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(buf, TEXT_SIZE_MAX, "%.1f %s", value, units[unit]);
}

void text_age(int64_t seconds, char buf[TEXT_AGE_MAX])
{
    if (seconds < 0)
        seconds = 0; /* a clock that was set back */
    if (seconds < 120)
        snprintf(buf, TEXT_AGE_MAX, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(buf, TEXT_AGE_MAX, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(buf, TEXT_AGE_MAX, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(buf, TEXT_AGE_MAX, "%" PRId64 " d", seconds / 86400);
}

void text_time(time_t when, char buf[TEXT_TIME_MAX])
{
    if (ss_utc_format(when, buf) < 0)
        snprintf(buf, TEXT_TIME_MAX, "?");
}
