/* Questions before something is done that can not be undone. */
#ifndef SAVESEAL_TOOLS_CONFIRM_H
#define SAVESEAL_TOOLS_CONFIRM_H

#include <stdbool.h>

/* Is there somebody to ask? True when the standard input and the standard error are a terminal. */
bool confirm_possible(void);

/* Prints the question and " [y/N] " on the standard error and reads one line. True only for "y" or "yes" (in any case)
 * from a terminal; an empty line, an end of input and everything else is a no. */
bool confirm(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
