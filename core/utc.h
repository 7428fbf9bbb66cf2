/* Moments as text, without the C library's time zones: those are behind a lock that a child of fork may find taken by a
 * thread that it does not have. */
#ifndef SAVESEAL_CORE_UTC_H
#define SAVESEAL_CORE_UTC_H

#include <time.h>

#define SS_UTC_SIZE sizeof "YYYY-MM-DDTHH:MM:SSZ"

/* The one way to write a moment, from 1970 to the end of 9999. Returns 0 or -EINVAL. */
int ss_utc_format(time_t value, char text[SS_UTC_SIZE]);

/* Reads exactly what format writes. Returns 0 or -EBADMSG. */
int ss_utc_parse(const char *text, time_t *value);

#endif
