#include "streams.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sched.h>
#include <sys/mman.h>

#include "drafts.h"

#define TRIES 50 /* of a stream's lock, at the end of the process */

/* A list of blocks of places, which only grows: no lock, so that a signal handler may come at any time. */
#define BLOCK_STREAMS 1023
struct block {
    _Atomic(FILE *) streams[BLOCK_STREAMS];
    _Atomic(struct block *) next;
};

static struct block first;
static _Atomic size_t count; /* of streams in the list */

static bool put(struct block *block, FILE *stream)
{
    for (size_t i = 0; i < BLOCK_STREAMS; i++) {
        FILE *none = NULL;
        if (atomic_compare_exchange_strong(&block->streams[i], &none, stream))
            return true;
    }
    return false;
}

/* The block behind it, which is made if there is none; NULL without memory. */
static struct block *next_of(struct block *block)
{
    struct block *next = atomic_load(&block->next), *none = NULL;

    if (next)
        return next;
    struct block *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return NULL;
    if (atomic_compare_exchange_strong(&block->next, &none, made))
        return made;
    munmap(made, sizeof *made);
    return none;
}

/* What is being flushed must not be freed meanwhile: who takes it from the list waits for that. */
static _Atomic(FILE *) flushing;
#define WAITS 1000 /* at most: a handler may have interrupted the very thread that flushes */

static void wait_for_flush(FILE *stream)
{
    for (int i = 0; i < WAITS && atomic_load(&flushing) == stream; i++)
        sched_yield();
}

int ss_streams_add(FILE *stream)
{
    for (struct block *block = &first; block; block = next_of(block)) {
        if (put(block, stream)) {
            atomic_fetch_add(&count, 1);
            return 0;
        }
    }
    return -ENOMEM;
}

bool ss_streams_any(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed) > 0;
}

void ss_streams_remove(FILE *stream)
{
    if (!ss_streams_any())
        return;
    for (struct block *block = &first; block; block = atomic_load(&block->next)) {
        for (size_t i = 0; i < BLOCK_STREAMS; i++) {
            FILE *expected = stream;
            if (atomic_load_explicit(&block->streams[i], memory_order_relaxed) == stream &&
                atomic_compare_exchange_strong(&block->streams[i], &expected, NULL)) {
                atomic_fetch_sub(&count, 1);
                wait_for_flush(stream);
                return;
            }
        }
    }
}

static bool lock(FILE *stream)
{
    for (int i = 0; i < TRIES; i++) {
        if (ftrylockfile(stream) == 0)
            return true;
        sched_yield();
    }
    return false;
}

static void flush(FILE *stream, void (*failed)(int fd, int error))
{
    int fd = stream ? fileno_unlocked(stream) : -1;

    if (!ss_fd_is_ours(fd))
        return;
    if (!lock(stream)) {
        failed(fd, -EIO);
        return;
    }
    if (fflush_unlocked(stream) != 0)
        failed(fd, -errno);
    funlockfile(stream);
}

static void flush_listed(_Atomic(FILE *) *place, void (*failed)(int fd, int error))
{
    FILE *stream = atomic_load(place);

    if (!stream)
        return;
    atomic_store(&flushing, stream);
    if (atomic_load(place) == stream) /* else it is being closed */
        flush(stream, failed);
    atomic_store(&flushing, NULL);
}

void ss_streams_flush(void (*failed)(int fd, int error))
{
    flush(stdout, failed);
    flush(stderr, failed);
    for (struct block *block = &first; block; block = atomic_load(&block->next))
        for (size_t i = 0; i < BLOCK_STREAMS; i++)
            flush_listed(&block->streams[i], failed);
}
