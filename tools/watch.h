/* Is a file left alone while it is looked at? */
#ifndef SAVESEAL_TOOLS_WATCH_H
#define SAVESEAL_TOOLS_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "core/check/judgement.h"

/* One at a time in the process, and on its main thread. */
struct watch {
    int fd; /* the caller's */
    bool leased;
    struct stat before;
};

#define WATCH_NONE                                                                                                     \
    {                                                                                                                  \
        .fd = -1                                                                                                       \
    }
#define WATCH_AUTO_END __attribute__((cleanup(watch_end)))

/* Begins to watch a file that is open for reading only. Where the kernel gives a lease for it (not for another user's
 * file, nor on every file system) whoever wants to write to it waits from here on until watch_end, and *watch_stop()
 * becomes true, so that he need not wait for long. Elsewhere only the file's times tell. Returns true; or false
 * with the reason: somebody may have it open for writing already. */
bool watch_begin(struct watch *watch, int fd, struct ss_judgement *why);

/* The same without a lease, for a file that the caller has open for writing himself: only its times tell. */
bool watch_begin_unleased(struct watch *watch, int fd, struct ss_judgement *why);

/* For ss_digest_run and ss_inside_options. */
const _Atomic bool *watch_stop(void);

/* True when nobody has changed the file, or wanted to, since the watch began; else that is the reason. */
bool watch_is_quiet(const struct watch *watch, struct ss_judgement *why);

/* True when fd is the file that was watched, and its size and time of change of content are those of when the watch
 * began; else that is the reason. Also after watch_end. */
bool watch_has_same_content(const struct watch *watch, int fd, struct ss_judgement *why);

/* Lets others write. Safe on WATCH_NONE, and twice. */
void watch_end(struct watch *watch);

#endif
