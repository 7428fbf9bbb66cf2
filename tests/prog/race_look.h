/* What the writers of race.c share with those who look on, and the looking (race_look.c). */
#ifndef SAVESEAL_TESTS_RACE_LOOK_H
#define SAVESEAL_TESTS_RACE_LOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define WORDS_MIN 2000
#define WORDS_MAX 20000

enum asking { NOTHING, CLOSED, HALF_NEW, HALF_OLD, HOLD, REPLACED, END, DIE };

/* Between the processes. */
struct shared {
    _Atomic uint32_t asking; /* the writer asks the looker-on, who puts NOTHING back; a futex */
    uint32_t round;
    _Atomic bool stop;
    _Atomic unsigned reads, absent, saves, deaths;
    _Atomic unsigned mixed;   /* reads that were not one whole image */
    _Atomic unsigned missed;  /* looks right after close() that did not find its image */
    _Atomic unsigned seen;    /* what an outsider should not have seen or could not do */
    _Atomic unsigned refused; /* errors that the writer met */
};

enum sight { BROKEN = 0, WHOLE, ABSENT };

extern struct shared *shared;
extern const char *name; /* what look() looks at */
extern bool drafts_show; /* to those outside, under their hidden names (the preload library) */

size_t words_of(uint32_t round);
uint64_t word_of(uint32_t round, size_t i);

/* Counts one more, and says why as long as it is one of the first. Always returns 0. */
__attribute__((format(printf, 2, 3))) int complain(_Atomic unsigned *count, const char *format, ...);

enum sight look(uint32_t *round);

/* Looks until it is told to stop. */
void run_reader(bool never_absent, useconds_t rest);

/* Looks when the writer asks, until END. */
void run_looker_on(void);
void put_asking(enum asking asking);

/* The writer waits until the looker-on has looked. */
void ask(enum asking asking, uint32_t round);

#endif
