/* How far a run over many files is, in a line on the terminal: with the time that is left as soon as it is known how
 * much there is in all, which another thread finds out. Where stderr is no terminal nothing is done. */
#ifndef SAVESEAL_TOOLS_METER_H
#define SAVESEAL_TOOLS_METER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "walk.h"

struct meter {
    bool wanted, files; /* files: these are counted, not bytes */
    enum walk_mode mode;
    char *const *paths;
    size_t count;

    _Atomic uint64_t total; /* found so far */
    _Atomic bool total_known, ended;
    _Atomic uint64_t done;
    bool counting;
    pthread_t counter;

    pthread_mutex_t lock; /* guards the terminal, and what follows; held while answers are printed */
    bool shown;
    struct timespec start, last;
};

void meter_start(struct meter *meter, char *const *paths, size_t count, enum walk_mode mode, bool files);
void meter_end(struct meter *meter);

/* So much more was done. Thread-safe. */
void meter_add(struct meter *meter, uint64_t more);

/* Between the two the line is away and stays away. */
void meter_hide(struct meter *meter);
void meter_show(struct meter *meter);

#endif
