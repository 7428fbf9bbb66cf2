/* Pools of fixed-size records in one stretch of shared memory, addressed by index.
 *
 * Indices, not pointers, and no heap behind them: the process that serves may die at any instruction, and its successor
 * goes on with the same records. So only the records themselves and the count of those that were ever used are shared;
 * what can be derived from them (which are free, hash chains, counts of references) is each process's own and made anew
 * by adopt.c. A record is all zero when it is taken; by its first field, written last, its kind of pool tells a record
 * in use from a free one. Not thread-safe: the caller's table lock guards every call. */
#ifndef SAVESEAL_FUSE_ARENA_H
#define SAVESEAL_FUSE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define SS_NONE UINT32_MAX /* no record */

struct ss_pool {
    char *base; /* shared */
    size_t record_size;
    uint32_t capacity;
    uint32_t *used;      /* shared: records below this index were taken at least once */
    uint32_t free_count; /* of those, how many are free now */
    uint32_t *free;      /* their indices, a stack */
};

struct ss_arena {
    int fd; /* of the memory, to be inherited through exec */
    char *memory;
    size_t size;
};

/* Makes size bytes of zeroed shared memory, committed as they are touched. Returns 0 or -errno. */
int ss_arena_create(struct ss_arena *arena, size_t size);

/* Maps the memory that fd names, which then belongs to the arena. -EINVAL when it is not size bytes. */
int ss_arena_attach(struct ss_arena *arena, int fd, size_t size);
void ss_arena_destroy(struct ss_arena *arena);

/* Gives n bytes at offset back to the system; they read as zero then. */
void ss_arena_discard(struct ss_arena *arena, const void *at, size_t n);

/* What a pool of that many records takes of an arena, bytes. */
size_t ss_pool_space(size_t record_size, uint32_t capacity);

/* Lays a pool out at *offset of the arena and moves *offset behind it. used: where the shared count is. Every record
 * counts as taken until ss_pool_give says otherwise. Returns 0 or -errno. */
int ss_pool_init(struct ss_pool *pool, struct ss_arena *arena, size_t *offset, size_t record_size, uint32_t capacity,
                 uint32_t *used);
void ss_pool_destroy(struct ss_pool *pool);

/* Takes a record: its index, or SS_NONE when the pool is full. */
uint32_t ss_pool_take(struct ss_pool *pool);
void ss_pool_give(struct ss_pool *pool, uint32_t index);

/* The record's address, NULL for an index that was never taken. Whoever knows of a record in use may call it without
 * the lock, while others take more. */
static inline void *ss_pool_at(const struct ss_pool *pool, uint32_t index)
{
    return index < __atomic_load_n(pool->used, __ATOMIC_ACQUIRE) ? pool->base + (size_t)index * pool->record_size
                                                                 : NULL;
}

/* Records in use. */
static inline uint32_t ss_pool_count(const struct ss_pool *pool)
{
    return *pool->used - pool->free_count;
}

#endif
