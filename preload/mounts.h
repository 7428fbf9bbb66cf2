/* Other names that bind mounts give a protected directory, or one below it. */
#ifndef SAVESEAL_PRELOAD_MOUNTS_H
#define SAVESEAL_PRELOAD_MOUNTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ss_root {
    const char *canonical;
    dev_t device;
};

/* As ss_roots_cover, by such a name; count protected directories. The first call for a name on a device of theirs, or
 * the 16th for any other, reads the table of mounts, which takes as long as a hundred opens: later ones are not seen.
 * That the name still leads there is looked at each time, for a mount may be gone.
 * Keeps errno. Takes no memory but by mmap, and no lock. Thread-safe, and safe in a signal handler. */
bool ss_mounts_cover(const char *path, const struct ss_root roots[], size_t count, char canonical[PATH_MAX]);

#endif
