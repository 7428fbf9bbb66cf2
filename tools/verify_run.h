/* One run over many files: walks, checks several at a time, keeps to the limits, and hands over each answer in order.
 */
#ifndef SAVESEAL_TOOLS_VERIFY_RUN_H
#define SAVESEAL_TOOLS_VERIFY_RUN_H

#include <pthread.h>

#include "absent.h"
#include "against.h"
#include "core/inside/memory.h"
#include "limit.h"
#include "meter.h"
#include "state.h"
#include "verify.h"

/* Set up by the caller, but what is marked. */
struct verify_run {
    struct verify_wanted wanted;
    char *const *paths;
    size_t count;
    bool recursive;
    bool digests;     /* as in struct ss_check_options */
    bool skip_drafts; /* in trees */
    unsigned jobs;    /* files at a time, and threads for a long one */

    const struct stat *own; /* a file that a tree may hold, but that is no image: manifest; or NULL */

    struct limit *limit;
    struct state *state;     /* NULL: none */
    struct against *against; /* NULL: the seals */

    /* Gets each answer, one at a time, in the thread that runs all. */
    void (*answer)(void *context, const struct verify_answer *answer);
    void *context;

    struct walk *walk;       /* own: of the thread that runs all */
    struct absent absent;    /* own */
    char **missing;          /* own: what a manifest has below the directories, and the walk has not found; or NULL */
    struct meter meter;      /* own */
    pthread_mutex_t turn;    /* own: struct ss_check_options has what it is for */
    struct ss_memory memory; /* own: so does it */
};

/* As many as there are processors for this process, but not more than would take too much memory. */
unsigned verify_run_jobs(void);

void verify_run(struct verify_run *run);

#endif
