/* How much memory checks may take that run beside each other. */
#ifndef SAVESEAL_CORE_INSIDE_MEMORY_H
#define SAVESEAL_CORE_INSIDE_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* No check takes more than that by itself, in bytes, whatever it looks at. What is below SS_MEMORY_SMALL is not
 * counted. */
#define SS_MEMORY_MAX ((size_t)44 << 20)
#define SS_MEMORY_SMALL ((size_t)512 << 10)

/* What checks share that run beside each other: enough for some ordinary ones. A check that comes to need more than it
 * asked for first may go beyond it by what it needs more, one at a time: that is how they never wait for each other. */
#define SS_MEMORY_SHARED ((size_t)40 << 20)

struct ss_memory {
    pthread_mutex_t lock; /* guards the rest; nothing but freed is waited for under it */
    pthread_cond_t freed; /* by the monotonic clock */
    size_t all, used;     /* bytes */
    unsigned running;     /* checks that have some, and do not wait for more */
};

/* all: bytes. */
void ss_memory_init(struct ss_memory *memory, size_t all);
void ss_memory_destroy(struct ss_memory *memory);

/* A check that has *has bytes is to have wants. When that is more, waits as long as the others leave too little, but at
 * most some 50 ms: returns whether it has it then, and may take it. What wants more than there is at all is alone. *has
 * is written. Thread-safe. */
bool ss_memory_change(struct ss_memory *memory, size_t *has, size_t wants);

/* Could bytes be taken? For libraries that do not live through it when they can not: jansson (its issue 362), and
 * libarchive, which even ends the process. errno is ENOMEM when it returns false. */
bool ss_memory_is_there(size_t bytes);

#endif
