/* An image that is a directory, as one thing: its size, and whether it changed. */
#ifndef SAVESEAL_CORE_CHECK_DIRECTORY_H
#define SAVESEAL_CORE_CHECK_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "check.h"

/* Checks the directory that is open as dir by what is in it; it can have no seal. Returns 0 with an answer, or -errno.
 */
int ss_directory_check(int dir, const struct ss_check_options *options, struct ss_check *check);

#endif
