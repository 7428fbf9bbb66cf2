/* The protected directories, from SAVESEAL_DIRS: absolute names with ':' between them, protected with everything below
 * them. Fixed after ss_roots_init, but for a root's descriptor. Thread-safe. */
#ifndef SAVESEAL_PRELOAD_ROOTS_H
#define SAVESEAL_PRELOAD_ROOTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define SS_ROOTS_MAX 32

/* Returns how many there are to protect; or -errno with a sentence in why. A directory on a mount of savesealfs, which
 * protects it, is left out. */
int ss_roots_init(const char *dirs, char *why, size_t size);

/* Is an absolute name without "." and ".." a name below a protected directory, as it was given, in its canonical form,
 * or by a bind mount (mounts.h: which is looked for when a name is asked for that is no other, but /dev/null)? Then
 * canonical (PATH_MAX) is that name in its canonical form. Symbolic links below the root are not looked at.
 */
bool ss_roots_cover(const char *path, char canonical[PATH_MAX]);

/* The directory that holds a canonical name, open for reading or, where that is not allowed, O_PATH, and the caller's
 * to close; *name is the last part of path. Returns -ELOOP when there is a symbolic link on the way, or -errno. */
int ss_roots_open_parent(const char *canonical, const char **name);

/* A directory below a protected one may be on another file system: of savesealfs, which protects it; or of another
 * machine, where nothing can be protected. */
enum ss_place_kind { SS_PLACE_GOOD, SS_PLACE_OF_SAVESEALFS, SS_PLACE_ELSEWHERE };
enum ss_place_kind ss_roots_place(int dir);

#endif
