/* What programs are started with. */
#ifndef SAVESEAL_PRELOAD_CHILD_H
#define SAVESEAL_PRELOAD_CHILD_H

/* A program is about to be started in this process or a child, with that environment. With SAVESEAL_REPORT=1 says so on
 * the standard error if it will not have the library. Keeps errno, and changes nothing that a parent shares with its
 * child of vfork. */
void ss_child_starts(const char *program, char *const environment[]);

#endif
