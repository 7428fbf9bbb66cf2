/* How much, how fast and until when a run may read, and signals that end it. One in a process. */
#ifndef SAVESEAL_TOOLS_LIMIT_H
#define SAVESEAL_TOOLS_LIMIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum limit_reason { LIMIT_NONE, LIMIT_TIME, LIMIT_BYTES, LIMIT_SIGNAL, LIMIT_OUTPUT };

struct limit {
    uint64_t rate;     /* bytes a second, 0 any */
    uint64_t bytes;    /* 0 any */
    uint64_t deadline; /* ss_now_ns(), 0 none */

    _Atomic bool stop;  /* for ss_digest_run.stop: set by whichever thread, or the signal's handler, finds a reason */
    _Atomic int reason; /* enum limit_reason: the first one */
    _Atomic int signal; /* that came, 0 none */

    uint64_t begun; /* bytes; only of the thread that asks limit_may_begin */

    pthread_mutex_t lock; /* guards free_at */
    uint64_t free_at;     /* when the next read may be, ss_now_ns() */
};

/* Begins. From now on the first SIGINT, SIGTERM or SIGHUP stops the run, the second ends the process. */
void limit_start(struct limit *limit, uint64_t rate, uint64_t bytes, uint64_t seconds);
void limit_end(struct limit *limit);

/* May a file of that size be begun? What is begun counts. The first may always, so that a run gets on. Never after a
 * stop. */
bool limit_may_begin(struct limit *limit, uint64_t size);

/* Before len bytes are read, or after: waits as long as the rate demands. Returns 0, or -ECANCELED when the run is to
 * end. Thread-safe. */
int limit_admit(struct limit *limit, uint64_t len);

/* Is the run to end? Thread-safe. */
bool limit_is_over(struct limit *limit);

/* Did a signal come, or do the answers not arrive? Then what is left is not even to be counted. Thread-safe. */
bool limit_is_final(const struct limit *limit);

/* Ends the run, because its answers do not arrive. Thread-safe. */
void limit_stop_output(struct limit *limit);

/* What ended it, for people: "--max-time is over", "SIGINT"; NULL when nothing did. */
const char *limit_text(const struct limit *limit);

#endif
