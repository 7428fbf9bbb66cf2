#include "utc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FIRST_YEAR 1970
#define LAST_YEAR 9999
#define DAY 86400

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_of_year(unsigned year)
{
    return is_leap(year) ? 366 : 365;
}

/* month: from 1 on. */
static unsigned days_of_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

static void put(char *text, size_t digits, unsigned number)
{
    for (; digits-- > 0; number /= 10)
        text[digits] = (char)('0' + number % 10);
}

int ss_utc_format(time_t value, char text[SS_UTC_SIZE])
{
    unsigned year = FIRST_YEAR, month = 1;

    if (value < 0)
        return -EINVAL;
    uint64_t day = (uint64_t)value / DAY;
    unsigned second = (unsigned)((uint64_t)value % DAY);
    for (; year <= LAST_YEAR && day >= days_of_year(year); year++)
        day -= days_of_year(year);
    if (year > LAST_YEAR)
        return -EINVAL;
    for (; day >= days_of_month(year, month); month++)
        day -= days_of_month(year, month);
    strcpy(text, "0000-00-00T00:00:00Z");
    put(text, 4, year);
    put(text + 5, 2, month);
    put(text + 8, 2, (unsigned)day + 1);
    put(text + 11, 2, second / 3600);
    put(text + 14, 2, second / 60 % 60);
    put(text + 17, 2, second % 60);
    return 0;
}

/* -1: there are none. */
static int get(const char *text, size_t digits)
{
    int value = 0;

    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = 10 * value + text[i] - '0';
    }
    return value;
}

int ss_utc_parse(const char *text, time_t *value)
{
    char canonical[SS_UTC_SIZE];

    if (strnlen(text, SS_UTC_SIZE) != SS_UTC_SIZE - 1)
        return -EBADMSG;
    int year = get(text, 4), month = get(text + 5, 2), day = get(text + 8, 2);
    time_t hour = get(text + 11, 2), minute = get(text + 14, 2), second = get(text + 17, 2);
    if (year < FIRST_YEAR || month < 1 || month > 12)
        return -EBADMSG;
    int64_t days = day - 1;
    for (unsigned y = FIRST_YEAR; y < (unsigned)year; y++)
        days += days_of_year(y);
    for (unsigned m = 1; m < (unsigned)month; m++)
        days += days_of_month((unsigned)year, m);
    time_t moment = (time_t)days * DAY + hour * 3600 + minute * 60 + second;
    /* 30 February, 24 o'clock and what stands between the numbers: only what we would write ourselves counts. */
    if (ss_utc_format(moment, canonical) < 0 || strcmp(text, canonical) != 0)
        return -EBADMSG;
    *value = moment;
    return 0;
}
