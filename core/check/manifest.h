/* A list of files with their digests. What sha256sum writes is one; one of ours says more in comments, which
 * `sha256sum -c` passes over:
 *
 *     # saveseal/1 manifest=1
 *     # saveseal/1 sha256=HEX size=1073741824 verity-sha256=HEX     of the file in the next line
 *     HEX  NAME
 *     # saveseal/1 manifest-end=1
 *
 * The last line counts the files since the first: without it the manifest was cut. A comment about a file names the
 * digest in that file's line, so that after an edit it can not be taken for another's.
 *
 * As with sha256sum, a line whose name has a backslash, newline or carriage return begins with a backslash, and the
 * name has \\, \n, \r for them. Pure functions over bytes; thread-safe. */
#ifndef SAVESEAL_CORE_CHECK_MANIFEST_H
#define SAVESEAL_CORE_CHECK_MANIFEST_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "compare.h"

#define SS_MANIFEST_MAX ((size_t)128 << 20) /* bytes: some 400,000 files */
#define SS_MANIFEST_HEAD "# saveseal/1 manifest=1\n"
#define SS_MANIFEST_END_SIZE 48 /* bytes: enough for ss_manifest_end() */

struct ss_manifest_entry {
    char *name;  /* without "./" and doubled slashes */
    size_t line; /* where it stands, from 1 */
    struct ss_reference is;
};

struct ss_manifest {
    struct ss_manifest_entry *entry; /* sorted by name, of one name by line */
    size_t count;
};

/* Does a file that begins so look like a manifest? Comments and empty lines before the first line that tells are passed
 * over. */
bool ss_manifest_probe(const char *bytes, size_t len);

/* Does it look like a list of other digests (md5sum, sha512sum, sha256sum --tag), which is none here? */
bool ss_manifest_is_foreign(const char *bytes, size_t len);

/* Reads all of one. Returns 0, to be freed; -EBADMSG with the line that is no such line, from 1; -ENODATA when it is
 * one of ours and not all there, with the line where that shows; -EPROTONOSUPPORT when it is of a newer version;
 * -ENOMEM. A name twice is no mistake as long as both lines say the same. */
int ss_manifest_decode(const char *bytes, size_t len, struct ss_manifest *manifest, size_t *line);

/* The entry for a name, written in whatever way; or NULL. *error: 0 or -ENOMEM. */
const struct ss_manifest_entry *ss_manifest_find(const struct ss_manifest *manifest, const char *name, int *error);

/* The entries of files below a directory, whose name may be written in whatever way: calls each for all of them, in
 * order, until it returns other than 0. Names are compared as they stand: ".." is not looked into. Returns 0, -ENOMEM,
 * or what each returned last. */
int ss_manifest_below(const struct ss_manifest *manifest, const char *dir,
                      int (*each)(void *context, const struct ss_manifest_entry *entry), void *context);

void ss_manifest_free(struct ss_manifest *manifest);

/* The two lines of a file, NUL-terminated. is has all three. The caller frees them. NULL without memory. */
char *ss_manifest_lines(const char *name, const struct ss_reference *is);

/* The last line of a manifest that began with SS_MANIFEST_HEAD and has the lines of count files since. */
void ss_manifest_end(size_t count, char line[SS_MANIFEST_END_SIZE]);

#endif
