#include "duration.h"

#include <stddef.h>
#include <string.h>

#include "core/util.h"

#define LIMIT INT64_C(100000000000) /* seconds; more than 3,000 years */

static const struct {
    char letter;
    int64_t seconds;
} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

static int64_t unit_seconds(const char *text)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(units); i++)
        if (text[0] == units[i].letter && text[1] == '\0')
            return units[i].seconds;
    return 0;
}

bool duration_parse(const char *text, int64_t *seconds)
{
    size_t digits = strspn(text, "0123456789");
    int64_t value = 0, unit = unit_seconds(text + digits);

    if (digits == 0 || unit == 0)
        return false;
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (text[i] - '0');
        if (value > LIMIT)
            return false;
    }
    if (value > LIMIT / unit)
        return false;
    *seconds = value * unit;
    return true;
}
