/* Copying one open file into another. */
#ifndef SAVESEAL_CORE_COPY_H
#define SAVESEAL_CORE_COPY_H

#include <stdint.h>

/* Makes the first size bytes of to equal those of from and its length size: as a reflink where the file system can
 * (only when size is all of from), else by copy_file_range or read and write, holes staying holes. to is empty before.
 * File offsets of both may move. Returns 0 or -errno. */
int ss_copy_data(int from, int to, uint64_t size);

/* Gives to the owner, mode, ACL and other extended attributes of from, except Saveseal's own. What only a privileged
 * process may give (owner, trusted and security attributes) is tried and passed over when refused. Returns 0 or -errno.
 */
int ss_copy_attributes(int from, int to);

#endif
