/* May what a program points at be read? The kernel says EFAULT to a bad pointer; a hook that reads first would crash.
 */
#ifndef SAVESEAL_PRELOAD_READABLE_H
#define SAVESEAL_PRELOAD_READABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Is it a string of less than PATH_MAX bytes that can be read whole? If not, the real call has the answer. NULL is
 * none. Keeps errno. Thread-safe, and safe in a signal handler.
 *
 * A page that was found readable is believed to be so until the program unmaps one by munmap(): one that is taken away
 * otherwise, and given as a path then, is a crash. */
bool ss_readable_path(const char *path);

/* The same for so many bytes. */
bool ss_readable(const void *start, size_t bytes);

/* Pages have been unmapped. */
void ss_readable_forget(void);

#endif
