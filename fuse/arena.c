#include "arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64

static size_t align(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t ss_pool_space(size_t record_size, uint32_t capacity)
{
    return align(align(record_size) * capacity) + align(sizeof(uint32_t) * capacity);
}

int ss_arena_create(struct ss_arena *arena, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *arena = (struct ss_arena){.memory = memory, .size = size};
    return 0;
}

void ss_arena_destroy(struct ss_arena *arena)
{
    if (arena->memory)
        munmap(arena->memory, arena->size);
    *arena = (struct ss_arena){0};
}

void ss_pool_init(struct ss_pool *pool, struct ss_arena *arena, size_t *offset, size_t record_size, uint32_t capacity)
{
    *pool = (struct ss_pool){
        .base = arena->memory + *offset,
        .record_size = align(record_size),
        .capacity = capacity,
        .free = (uint32_t *)(void *)(arena->memory + *offset + align(align(record_size) * capacity)),
    };
    *offset += ss_pool_space(record_size, capacity);
}

uint32_t ss_pool_take(struct ss_pool *pool)
{
    uint32_t index;

    if (pool->free_count > 0)
        index = pool->free[--pool->free_count];
    else if (pool->used < pool->capacity)
        index = pool->used++;
    else
        return SS_NONE;
    memset(pool->base + (size_t)index * pool->record_size, 0, pool->record_size);
    return index;
}

void ss_pool_give(struct ss_pool *pool, uint32_t index)
{
    pool->free[pool->free_count++] = index;
}
