#include "memory.h"

#include <stdlib.h>
#include <time.h>

#define NAP_NS 50000000L /* how long a stop may go unnoticed */
#define SECOND_NS 1000000000L

void ss_memory_init(struct ss_memory *memory, size_t all)
{
    pthread_condattr_t by_clock;

    *memory = (struct ss_memory){.all = all};
    pthread_mutex_init(&memory->lock, NULL);
    pthread_condattr_init(&by_clock);
    pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
    pthread_cond_init(&memory->freed, &by_clock);
    pthread_condattr_destroy(&by_clock);
}

void ss_memory_destroy(struct ss_memory *memory)
{
    pthread_mutex_destroy(&memory->lock);
    pthread_cond_destroy(&memory->freed);
}

/* Those that have some and want more go on one at a time when none of them runs: else they would wait for each other.
 */
static bool may_have(const struct ss_memory *memory, size_t has, size_t wants)
{
    if (memory->used == has || (has > 0 && memory->running == 0))
        return true;
    return memory->used <= memory->all && wants - has <= memory->all - memory->used;
}

static void wait_some(struct ss_memory *memory)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += NAP_NS;
    if (until.tv_nsec >= SECOND_NS) {
        until.tv_nsec -= SECOND_NS;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&memory->freed, &memory->lock, &until);
}

bool ss_memory_change(struct ss_memory *memory, size_t *has, size_t wants)
{
    bool good = true;

    pthread_mutex_lock(&memory->lock);
    if (wants < *has)
        pthread_cond_broadcast(&memory->freed);
    memory->running -= *has > 0;
    if (wants > *has) {
        good = may_have(memory, *has, wants);
        if (!good) {
            wait_some(memory);
            good = may_have(memory, *has, wants);
        }
    }
    if (good) {
        memory->used += wants - *has; /* modulo */
        *has = wants;
    }
    memory->running += *has > 0;
    pthread_mutex_unlock(&memory->lock);
    return good;
}

bool ss_memory_is_there(size_t bytes)
{
    void *volatile memory = malloc(bytes); /* or the compiler knows better */
    bool is_there = memory != NULL;

    free(memory);
    return is_there;
}
