/* The program that saveseal run is to start: can the preload library be loaded into it? */
#ifndef SAVESEAL_TOOLS_TARGET_H
#define SAVESEAL_TOOLS_TARGET_H

#include <stdbool.h>

#define TARGET_WHY_MAX 256

/* The file that a command is, by PATH when it has no slash. The caller frees it; NULL with errno ENOENT or EACCES. */
char *target_find(const char *command);

/* Looks at the file, and at the interpreter of a script. False with a clause in why: the library can not be read, the
 * program is linked statically, or is for another kind of machine than the library, or makes its system calls itself
 * (Go), or the kernel runs it with more rights than its caller's, where the dynamic linker ignores LD_PRELOAD. */
bool target_is_protectable(const char *program, const char *library, char why[TARGET_WHY_MAX]);

#endif
