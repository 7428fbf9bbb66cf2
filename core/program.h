/* A program that is to be started: can the preload library be loaded into it? These functions allocate nothing and
 * change nothing but the stack, for children of vfork. */
#ifndef SAVESEAL_CORE_PROGRAM_H
#define SAVESEAL_CORE_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

#define SS_PROGRAM_WHY_MAX 256

/* The file that a command is, by PATH when it has no slash. Returns 0, or -ENOENT, -EACCES, or another -errno. */
int ss_program_find(const char *command, char path[PATH_MAX]);

/* Looks at the file, and at the interpreter of a script. False with a clause in why: the library can not be read, the
 * program is linked statically, or is for another kind of machine than the library, or makes its system calls itself
 * (Go), or the kernel runs it with more rights than its caller's, where the dynamic linker ignores LD_PRELOAD. */
bool ss_program_is_protectable(const char *program, const char *library, char why[SS_PROGRAM_WHY_MAX]);

#endif
