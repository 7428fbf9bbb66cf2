#include "quantity.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800},
};

#define YEAR (UINT64_C(366) * 86400) /* seconds */

/* As long as it is at most max; 0 is for the caller to judge. */
static int parse(const char *text, const struct unit *units, size_t count, uint64_t max, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0, factor = 0;

    for (size_t i = 0; i < count; i++)
        if (strcmp(text + digits, units[i].name) == 0)
            factor = units[i].factor;
    if (digits == 0 || factor == 0)
        return -EINVAL;
    for (size_t i = 0; i < digits; i++) {
        if (number > max / 10)
            return -ERANGE;
        number = 10 * number + (uint64_t)(text[i] - '0');
    }
    if (number > max / factor)
        return -ERANGE;
    *value = number * factor;
    return 0;
}

static int parse_some(const char *text, const struct unit *units, size_t count, uint64_t max, uint64_t *value)
{
    uint64_t found = 0;

    int r = parse(text, units, count, max, &found);
    if (r == 0 && found == 0)
        r = -ERANGE;
    if (r == 0)
        *value = found;
    return r;
}

int quantity_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"K", UINT64_C(1) << 10},
        {"KiB", UINT64_C(1) << 10},
        {"M", UINT64_C(1) << 20},
        {"MiB", UINT64_C(1) << 20},
        {"G", UINT64_C(1) << 30},
        {"GiB", UINT64_C(1) << 30},
        {"T", UINT64_C(1) << 40},
        {"TiB", UINT64_C(1) << 40},
    };

    return parse_some(text, units, SS_ARRAY_SIZE(units), INT64_MAX, bytes);
}

int quantity_seconds(const char *text, uint64_t *seconds)
{
    return parse_some(text, durations, SS_ARRAY_SIZE(durations), 10 * YEAR, seconds);
}

int quantity_age(const char *text, uint64_t *seconds)
{
    return parse(text, durations + 1, SS_ARRAY_SIZE(durations) - 1, 3000 * YEAR, seconds);
}

int quantity_count(const char *text, uint64_t max, uint64_t *count)
{
    static const struct unit units[] = {{"", 1}};

    return parse_some(text, units, SS_ARRAY_SIZE(units), max, count);
}
