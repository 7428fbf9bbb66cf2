/* A list of files with their digests. What sha256sum writes is one; one of ours says more in comments, which
 * `sha256sum -c` passes over:
 *
 *     # saveseal/1 manifest=1
 *     # saveseal/1 size=1073741824 verity-sha256=HEX      of the file in the next line
 *     HEX  NAME
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

#define SS_MANIFEST_MAX ((size_t)128 << 20) /* bytes: more than half a million files */
#define SS_MANIFEST_HEAD "# saveseal/1 manifest=1\n"

struct ss_manifest_entry {
    char *name;  /* without "./" and doubled slashes */
    size_t line; /* where it stands, from 1 */
    struct ss_reference is;
};

struct ss_manifest {
    struct ss_manifest_entry *entry; /* sorted by name, of one name by line */
    size_t count;
};

/* Does a file that begins so look like a manifest? */
bool ss_manifest_probe(const char *bytes, size_t len);

/* Reads all of one. Returns 0, to be freed; -EBADMSG with the line that is no such line, from 1; -ENOMEM. A name twice
 * is no mistake as long as both lines say the same. */
int ss_manifest_decode(const char *bytes, size_t len, struct ss_manifest *manifest, size_t *line);

/* The entry for a name, written in whatever way; or NULL. *error: 0 or -ENOMEM. */
const struct ss_manifest_entry *ss_manifest_find(const struct ss_manifest *manifest, const char *name, int *error);

void ss_manifest_free(struct ss_manifest *manifest);

/* The two lines of a file, NUL-terminated. is has all three. The caller frees them. NULL without memory. */
char *ss_manifest_lines(const char *name, const struct ss_reference *is);

#endif
