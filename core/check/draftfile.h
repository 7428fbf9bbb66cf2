/* One draft that the user named by its path, DIR/.saveseal.ID. */
#ifndef SAVESEAL_CORE_CHECK_DRAFTFILE_H
#define SAVESEAL_CORE_CHECK_DRAFTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/draft.h"
#include "place.h"
#include "judgement.h"

struct ss_draftfile {
    struct ss_place place;
    char name[NAME_MAX + 1];
    int fd;
    struct stat st;
    bool written;     /* somebody had it open for writing before we did, or had its lock */
    int record_error; /* 0; or why there is no record: -ENODATA, -EBADMSG, -E2BIG, -EPROTONOSUPPORT */
    struct ss_draft_record record;
};

#define SS_DRAFTFILE_NONE                                                                                              \
    {                                                                                                                  \
        .place = SS_PLACE_NONE, .fd = -1                                                                               \
    }
#define SS_DRAFTFILE_AUTO_CLOSE __attribute__((cleanup(ss_draftfile_close)))

enum ss_draftfile_use {
    SS_DRAFTFILE_READ, /* just look */
    SS_DRAFTFILE_TAKE, /* hold its lock, so that nobody else writes, publishes or removes it until it is closed; waits
                        * up to 5 seconds for a mount that has given it up to let go of it */
};

/* True when the last part of the path has the form of a draft's name. */
bool ss_draftfile_named(const char *path);

/* Opens a draft. Returns true, or false with the reason; for the public name of an image the reason tells its draft's
 * path. */
bool ss_draftfile_open(const char *path, enum ss_draftfile_use use, struct ss_draftfile *draft,
                       struct ss_judgement *why);

/* Closes it and gives its lock back. Safe on SS_DRAFTFILE_NONE. */
void ss_draftfile_close(struct ss_draftfile *draft);

/* True when the draft's name still stands for the file that is open. */
bool ss_draftfile_in_place(const struct ss_draftfile *draft);

/* Deletes a draft that was taken, durably. Returns 0, -ESTALE when its name stands for another file by now, or -errno.
 */
int ss_draftfile_remove(const struct ss_draftfile *draft);

/* A clause that tells what is wrong with the record, for record_error. */
const char *ss_draftfile_record_error(int error);

/* The drafts of one public name. */
struct ss_draftfile_search {
    char target[NAME_MAX + 1];
    unsigned live;           /* being written or waiting */
    enum ss_finding finding; /* of a live one */
    unsigned interrupted;
    char name[SS_DRAFT_NAME_SIZE]; /* of an interrupted one */
};

/* Looks for the drafts of the image that path names. Returns 0 or -errno. */
int ss_draftfile_find(const char *path, struct ss_draftfile_search *found);

#endif
