/* What is in a directory. */
#ifndef SAVESEAL_CORE_ENTRIES_H
#define SAVESEAL_CORE_ENTRIES_H

#include <dirent.h>

/* Calls each for every entry of dir (open in any way, O_PATH too), "." and ".." among them, in directory order, until
 * it returns other than 0. The directory is opened anew, so that dir's offset does not matter. Returns what each
 * returned last, 0 at the end, or -errno when the directory can not be read. */
int ss_entries_each(int dir, int (*each)(void *context, const struct dirent *entry), void *context);

#endif
