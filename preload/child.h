/* What programs are started with. */
#ifndef SAVESEAL_PRELOAD_CHILD_H
#define SAVESEAL_PRELOAD_CHILD_H

#include <stdbool.h>

/* A program is about to be started in this process or a child, with that environment; by_path: PATH is searched for it.
 * With SAVESEAL_REPORT=1 says so on the standard error if it will not have the library. Keeps errno, and changes
 * nothing that a parent shares with its child of vfork. */
void ss_child_starts(const char *program, bool by_path, char *const environment[]);

/* Will it have the library, as far as environment and program tell? Likewise. */
bool ss_child_is_protected(const char *program, bool by_path, char *const environment[]);

#endif
