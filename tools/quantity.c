#include "quantity.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"

struct unit {
    const char *name;
    uint64_t factor;
};

#define SECONDS_MAX (UINT64_C(10) * 366 * 86400)

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
    if (number == 0 || number > max / factor)
        return -ERANGE;
    *value = number * factor;
    return 0;
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

    return parse(text, units, SS_ARRAY_SIZE(units), INT64_MAX, bytes);
}

int quantity_seconds(const char *text, uint64_t *seconds)
{
    static const struct unit units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

    return parse(text, units, SS_ARRAY_SIZE(units), SECONDS_MAX, seconds);
}

int quantity_count(const char *text, uint64_t max, uint64_t *count)
{
    static const struct unit units[] = {{"", 1}};

    return parse(text, units, SS_ARRAY_SIZE(units), max, count);
}
