/* What a program's path means. Keeps errno. Thread-safe. */
#ifndef SAVESEAL_PRELOAD_WHERE_H
#define SAVESEAL_PRELOAD_WHERE_H

#include <limits.h>
#include <stdbool.h>

/* Is there a ".." in the path, or an end that asks for a directory? Then its text alone tells nothing. */
bool ss_where_is_tricky(const char *path);

/* By the text alone (and the working directory, or dirfd's name) of a path that is not tricky: true when the path names
 * something below a protected directory, and then its canonical name. Symbolic links, but for those above the root, are
 * not seen. */
bool ss_where_by_text(int dirfd, const char *path, char canonical[PATH_MAX]);

/* With a look at every symbolic link, the last one too when follow. Returns 1 and the canonical name, 0 when it is
 * outside or does not exist (the real call then says why), or -ENAMETOOLONG. */
int ss_where_resolved(int dirfd, const char *path, bool follow, char canonical[PATH_MAX]);

/* The name that /proc/self/fd gives a descriptor. False when it has none. */
bool ss_where_of_fd(int fd, char path[PATH_MAX]);

#endif
