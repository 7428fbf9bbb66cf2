/* Pools of fixed-size records in one stretch of memory, addressed by index.
 *
 * Indices, not pointers, and no heap behind them: so that the tables can live in memory that another process maps
 * elsewhere. A record is all zero when it is taken. Not thread-safe: the caller's table lock guards every call. */
#ifndef SAVESEAL_FUSE_ARENA_H
#define SAVESEAL_FUSE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define SS_NONE UINT32_MAX /* no record */

struct ss_pool {
    char *base;
    size_t record_size;
    uint32_t capacity;
    uint32_t used;       /* records below this index were taken at least once */
    uint32_t free_count; /* of those, how many are free now */
    uint32_t *free;      /* their indices, a stack */
};

struct ss_arena {
    char *memory;
    size_t size;
};

/* What a pool of that many records takes of an arena, bytes. */
size_t ss_pool_space(size_t record_size, uint32_t capacity);

/* Reserves size bytes of zeroed memory, committed as it is touched. Returns 0 or -errno. */
int ss_arena_create(struct ss_arena *arena, size_t size);
void ss_arena_destroy(struct ss_arena *arena);

/* Lays a pool out at *offset of the arena and moves *offset behind it. */
void ss_pool_init(struct ss_pool *pool, struct ss_arena *arena, size_t *offset, size_t record_size, uint32_t capacity);

/* Takes a record: its index, or SS_NONE when the pool is full. */
uint32_t ss_pool_take(struct ss_pool *pool);
void ss_pool_give(struct ss_pool *pool, uint32_t index);

/* The record's address, NULL for an index that was never taken. */
static inline void *ss_pool_at(const struct ss_pool *pool, uint32_t index)
{
    return index < pool->used ? pool->base + (size_t)index * pool->record_size : NULL;
}

#endif
