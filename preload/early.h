/* What stands in for the real functions until they are looked up.
 *
 * Before glibc 2.34 dlsym takes memory, and libraries are initialised before us (see real.h). A malloc of the program's
 * own reads files to make itself ready, calls our hooks for it, and would wait for itself if those called dlsym. */
#ifndef SAVESEAL_PRELOAD_EARLY_H
#define SAVESEAL_PRELOAD_EARLY_H

#include "real.h"

/* The functions that such a malloc may need, as system calls. The rest is NULL. */
extern const struct ss_real ss_early;

#endif
