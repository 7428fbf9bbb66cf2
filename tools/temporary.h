/* Files of the tool itself, that get the name of another as soon as they are whole. A run that is killed may leave one
 * behind: they have names that no image has, so that a walk can pass over them. */
#ifndef SAVESEAL_TOOLS_TEMPORARY_H
#define SAVESEAL_TOOLS_TEMPORARY_H

#include <stdbool.h>
#include <stdint.h>

#define TEMPORARY_NAME_SIZE 48

/* What is to be written. */
extern const char temporary_state[], temporary_manifest[];

/* The name of one of that kind, with a number. */
void temporary_name(const char *kind, uint64_t number, char name[TEMPORARY_NAME_SIZE]);

/* Numbers: always the same for a file's name, so that a later run finds what an earlier one left; or another each time.
 */
uint64_t temporary_number_of(const char *name);
uint64_t temporary_number(void);

/* Makes it in the directory, mode 0600, never following a link. Returns a descriptor for writing, or -errno. */
int temporary_create(int dir, const char *name);

/* Is that the name of one? */
bool temporary_named(const char *name);

#endif
