#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/check/quote.h"
#include "core/draft.h"
#include "core/utc.h"
#include "core/util.h"
#include "report.h"

char *text_quote(const char *s)
{
    return report_must(ss_quote(s));
}

char *text_safe(const char *s)
{
    return report_must(ss_quote_safe(s));
}

size_t text_width(const char *s)
{
    size_t width = 0;

    for (; *s; s++)
        width += ((unsigned char)*s & 0xc0) != 0x80;
    return width;
}

char *text_draft_path(const char *dir, const char *id)
{
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    return report_format("%.*s%s" SS_DRAFT_PREFIX "%s", (int)len, dir, dir[len - 1] == '/' ? "" : "/", id);
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
