/* One image that the user named by its public name, in order to change it or its name: where it really is. */
#ifndef SAVESEAL_TOOLS_IMAGEFILE_H
#define SAVESEAL_TOOLS_IMAGEFILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/check/place.h"
#include "report.h"

struct imagefile {
    struct ss_place place;   /* on a mount place.dir is the directory behind it, where the file is */
    char name[NAME_MAX + 1]; /* in it */
    int fd;                  /* open for reading */
    struct stat st;
};

#define IMAGEFILE_NONE                                                                                                 \
    {                                                                                                                  \
        .place = SS_PLACE_NONE, .fd = -1                                                                               \
    }
#define IMAGEFILE_AUTO_CLOSE __attribute__((cleanup(imagefile_close)))

/* Opens it. With follow symbolic links lead to it, as everywhere; else a link is refused, because what is done to it
 * moves the file. Drafts are refused. Returns true, or false with the reason. */
bool imagefile_open(const char *path, bool follow, struct imagefile *image, struct ss_judgement *why);

/* True when the name still stands for the file that is open; else that is the reason. */
bool imagefile_in_place(const struct imagefile *image, struct ss_judgement *why);

/* Safe on IMAGEFILE_NONE. */
void imagefile_close(struct imagefile *image);

#endif
