#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIGNMENT 64

static size_t align(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int ss_arena_create(struct ss_arena *arena, size_t size)
{
    int fd = memfd_create("savesealfs", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return ss_arena_attach(arena, fd, size);
}

int ss_arena_attach(struct ss_arena *arena, int fd, size_t size)
{
    struct stat st;

    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && st.st_size != (off_t)size)
        r = -EINVAL;
    void *memory = r < 0 ? NULL : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    *arena = (struct ss_arena){.fd = fd, .memory = memory, .size = size};
    return 0;
}

void ss_arena_destroy(struct ss_arena *arena)
{
    if (!arena->memory)
        return;
    munmap(arena->memory, arena->size);
    close(arena->fd);
    *arena = (struct ss_arena){0};
}

void ss_arena_discard(struct ss_arena *arena, const void *at, size_t n)
{
    fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (const char *)at - arena->memory, (off_t)n);
}

size_t ss_pool_space(size_t record_size, uint32_t capacity)
{
    return align(align(record_size) * capacity);
}

int ss_pool_init(struct ss_pool *pool, struct ss_arena *arena, size_t *offset, size_t record_size, uint32_t capacity,
                 uint32_t *used)
{
    void *stack = mmap(NULL, sizeof(uint32_t) * capacity, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    *pool = (struct ss_pool){
        .base = arena->memory + *offset,
        .record_size = align(record_size),
        .capacity = capacity,
        .used = used,
        .free = stack,
    };
    *offset += ss_pool_space(record_size, capacity);
    return 0;
}

void ss_pool_destroy(struct ss_pool *pool)
{
    if (pool->free)
        munmap(pool->free, sizeof(uint32_t) * pool->capacity);
    *pool = (struct ss_pool){0};
}

uint32_t ss_pool_take(struct ss_pool *pool)
{
    uint32_t index;

    if (pool->free_count > 0)
        index = pool->free[--pool->free_count];
    else if (*pool->used < pool->capacity)
        index = __atomic_fetch_add(pool->used, 1, __ATOMIC_RELEASE); /* ss_pool_at reads it without the lock */
    else
        return SS_NONE;
    memset(pool->base + (size_t)index * pool->record_size, 0, pool->record_size);
    return index;
}

void ss_pool_give(struct ss_pool *pool, uint32_t index)
{
    pool->free[pool->free_count++] = index;
}
