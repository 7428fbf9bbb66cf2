/* Opening files of protected directories. */
#ifndef SAVESEAL_PRELOAD_BEGIN_H
#define SAVESEAL_PRELOAD_BEGIN_H

#include <stdbool.h>
#include <sys/types.h>

/* What openat(dirfd, path, flags, mode) is for a program under the shim. As openat: a descriptor, or -1 and errno. */
int ss_begin_open(int dirfd, const char *path, int flags, mode_t mode);

/* True when ss_begin_open would do nothing but openat. Quick. */
bool ss_begin_is_plain(const char *path, int flags);

/* In a child of fork: threads that are not there any more begin nothing. */
void ss_begin_in_child(void);

/* Does the path, its symbolic links followed, name something in a protected directory? Looks at the file system. */
bool ss_begin_concerns(const char *path);

#endif
