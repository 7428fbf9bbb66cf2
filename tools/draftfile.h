/* One draft that the user named by its path, DIR/.saveseal.ID. */
#ifndef SAVESEAL_TOOLS_DRAFTFILE_H
#define SAVESEAL_TOOLS_DRAFTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/draft.h"
#include "place.h"
#include "report.h"

struct draftfile {
    struct place place;
    char name[NAME_MAX + 1];
    int fd;
    struct stat st;
    bool written;     /* somebody had it open for writing before we did, or had its lock */
    int record_error; /* 0; or why there is no record: -ENODATA, -EBADMSG, -E2BIG, -EPROTONOSUPPORT */
    struct ss_draft_record record;
};

#define DRAFTFILE_NONE                                                                                                 \
    {                                                                                                                  \
        .place = PLACE_NONE, .fd = -1                                                                                  \
    }
#define DRAFTFILE_AUTO_CLOSE __attribute__((cleanup(draftfile_close)))

enum draftfile_use {
    DRAFTFILE_READ, /* just look */
    DRAFTFILE_TAKE, /* hold its lock, so that nobody else writes, publishes or removes it until it is closed */
};

/* True when the last part of the path has the form of a draft's name. */
bool draftfile_named(const char *path);

/* Opens a draft. Returns true, or false with the reason; for the public name of an image the reason tells its draft's
 * path. */
bool draftfile_open(const char *path, enum draftfile_use use, struct draftfile *draft, struct judgement *why);

/* Closes it and gives its lock back. Safe on DRAFTFILE_NONE. */
void draftfile_close(struct draftfile *draft);

/* True when the draft's name still stands for the file that is open. */
bool draftfile_in_place(const struct draftfile *draft);

/* Deletes a draft that was taken, durably. Returns 0, -ESTALE when its name stands for another file by now, or -errno.
 */
int draftfile_remove(const struct draftfile *draft);

/* A clause that tells what is wrong with the record, for record_error. */
const char *draftfile_record_error(int error);

/* The drafts of one public name. */
struct draftfile_search {
    char target[NAME_MAX + 1];
    unsigned live;           /* being written or waiting */
    enum ss_finding finding; /* of a live one */
    unsigned interrupted;
    char name[SS_DRAFT_NAME_SIZE]; /* of an interrupted one */
};

/* Looks for the drafts of the image that path names. Returns 0 or -errno. */
int draftfile_find(const char *path, struct draftfile_search *found);

#endif
