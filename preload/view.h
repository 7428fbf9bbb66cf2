/* Which file a path shows to this process. */
#ifndef SAVESEAL_PRELOAD_VIEW_H
#define SAVESEAL_PRELOAD_VIEW_H

#include <limits.h>

#include "drafts.h"

struct ss_view {
    int dir; /* what is to be used instead of the program's dirfd and path */
    const char *path;
    struct ss_held *own; /* the draft that it is of, in hand; NULL: it is what the program said */
};

/* A path that a program looks at or changes, but does not open. Goes by the text of the path, not through symbolic
 * links below the root. Returns 0, or -ENOENT for a name that is hidden. ss_view_end gives it back. */
int ss_view_begin(int dirfd, const char *path, struct ss_view *view);
void ss_view_end(struct ss_view *view);

/* Can it be nothing but what the program said? Quick. */
bool ss_view_is_plain(const char *path);

/* Opens the draft that a path shows, for a call that takes a descriptor: SS_VIEW_PLAIN when it shows none of ours,
 * SS_VIEW_FAILED with errno when it is hidden or can not be opened. */
#define SS_VIEW_PLAIN (-1)
#define SS_VIEW_FAILED (-2)
int ss_view_open(int dirfd, const char *path, int flags);

void ss_view_close(int *fd);

#define SS_AUTO_VIEW_FD __attribute__((cleanup(ss_view_close)))
#define SS_AUTO_VIEW __attribute__((cleanup(ss_view_end)))

#endif
