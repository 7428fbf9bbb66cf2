/* Where the files of a directory really are: on a savesealfs mount drafts are invisible, so the tool works on the
 * directory behind it. The mount names it in the attribute user.saveseal.backing of each of its directories. */
#ifndef SAVESEAL_CORE_CHECK_PLACE_H
#define SAVESEAL_CORE_CHECK_PLACE_H

#include <limits.h>
#include <stdbool.h>

#define SS_PLACE_XATTR "user.saveseal.backing"

struct ss_place {
    int seen;      /* the directory as it was named */
    int dir;       /* the directory that holds the files; the same descriptor as seen when there is no other */
    bool on_mount; /* seen is on a savesealfs mount */
    int hidden;    /* 0; or why the directory behind the mount can not be opened (-errno): then dir is seen */
};

#define SS_PLACE_NONE                                                                                                  \
    {                                                                                                                  \
        .seen = -1, .dir = -1                                                                                          \
    }

/* Opens a directory. Returns 0 or -errno. */
int ss_place_open(const char *path, struct ss_place *place);

/* Opens the directory called name in the directory dir, not following a symbolic link. Returns 0, -ELOOP or -ENOTDIR
 * when it is none, or -errno. */
int ss_place_openat(int dir, const char *name, struct ss_place *place);

/* Opens the directory part of a file's path and copies its last part. Returns 0, -EISDIR when the last part can be no
 * file's name ("", ".", ".."), or -errno. */
int ss_place_of(const char *path, struct ss_place *place, char name[NAME_MAX + 1]);

/* Safe on SS_PLACE_NONE. */
void ss_place_close(struct ss_place *place);

#define SS_PLACE_AUTO_CLOSE __attribute__((cleanup(ss_place_close)))

/* The last part of a path, "" when it ends in a slash. */
const char *ss_place_base(const char *path);

/* The path of name beside the file that path names. The caller frees it. NULL without memory. */
char *ss_place_sibling(const char *path, const char *name);

/* The same as ss_quote() would have it. */
char *ss_place_sibling_quoted(const char *path, const char *name);

#endif
