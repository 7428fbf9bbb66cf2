/* Several things at a time, with answers in the order of the questions. */
#ifndef SAVESEAL_TOOLS_QUEUE_H
#define SAVESEAL_TOOLS_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define QUEUE_THREADS_MAX 64

/* What is done with a slot, which is memory for one question and its answer. next and done are called by the thread
 * that called queue_run, one at a time and in the same order of slots; work by any thread, several at a time. */
struct queue_calls {
    bool (*next)(void *context, void *slot); /* fills an empty slot; false: there is nothing more */
    void (*work)(void *context, void *slot);
    void (*done)(void *context, void *slot); /* as soon as this one and all before it are worked on; empties it */
};

/* Runs until next says false and all is done. threads from 1 to QUEUE_THREADS_MAX; they have all signals blocked. With
 * 1 there is only the caller's own. */
void queue_run(unsigned threads, size_t slot_size, const struct queue_calls *calls, void *context);

#endif
