/* rename that never replaces a file.
 *
 * No state; callable from any thread. */
#ifndef SAVESEAL_CORE_RENAME_H
#define SAVESEAL_CORE_RENAME_H

/* Gives the file called from in from_dir the name to in to_dir, unless that is taken: -EEXIST. In one step where the
 * file system knows RENAME_NOREPLACE; elsewhere by a second name and the removal of the first, so that a crash in
 * between leaves both: to ask again finishes that. So from must be a name that nobody else gives to another file
 * meanwhile (a draft's, a temporary one). Directory descriptors may be O_PATH. Returns 0 when the file has its new name
 * (and both only if the file system lets go of neither), or -errno, and then it has its old one alone. */
int ss_rename_exclusive(int from_dir, const char *from, int to_dir, const char *to);

#endif
