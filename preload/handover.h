/* What exec closes. The program that calls exec can not judge it, for exec may fail; so it hands its drafts on to the
 * next one: their witnesses, which hear of write-back errors and keep locks, and what is known of them in a file
 * without a name. The library in the next program counts that as closed when it begins. */
#ifndef SAVESEAL_PRELOAD_HANDOVER_H
#define SAVESEAL_PRELOAD_HANDOVER_H

#include <stdbool.h>

/* Before exec of a program, by PATH or not. Hands on what no descriptor keeps open, if the program will have the
 * library. Returns what ss_handover_failed is to get. Keeps errno; allocates nothing, and does nothing in a child of
 * vfork, whose parent has all that it has. */
int ss_handover_before(const char *program, bool by_path, char *const environment[]);

/* exec has returned: nothing has happened. Keeps errno. */
void ss_handover_failed(int handed);

/* When the library begins, fd: what ss_drafts_inherit has found. It is for ss_handover_take, when the C library and all
 * others are ready: libcrypto can not be loaded before that. */
void ss_handover_found(int fd);
void ss_handover_take(void);

#endif
