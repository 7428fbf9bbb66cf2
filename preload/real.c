#include "real.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "early.h"
#include "core/compat.h"
#include "core/util.h"

static struct ss_real table;
static _Atomic bool filled;

#if !__GLIBC_PREREQ(2, 33)
/* Programs call __fxstatat there, which is no more than this on machines of 64 bits. What is built with a newer C
 * library does not load on such an old one. */
static int fstatat_by_number(int dirfd, const char *path, struct stat *st, int flags)
{
    return (int)table.syscall(SYS_newfstatat, dirfd, path, st, flags);
}
#endif

/* Before glibc 2.36 RTLD_NEXT finds the oldest of a function's versions (its bug 14932): a realpath that takes no NULL,
 * a posix_spawn that gives what is no program to a shell. These are the newest; a machine that never had the older ones
 * does not know them by that version. tests/lint.sh looks for others. */
static const struct {
    const char *name, *version;
} newest[] = {
    {"__libc_start_main", "GLIBC_2.34"}, {"glob", "GLIBC_2.27"},       {"posix_spawn", "GLIBC_2.15"},
    {"posix_spawnp", "GLIBC_2.15"},      {"quick_exit", "GLIBC_2.24"}, {"realpath", "GLIBC_2.3"},
};

static void *look_up(const char *name)
{
    void *found = NULL;

    for (size_t i = 0; i < SS_ARRAY_SIZE(newest); i++)
        if (strcmp(name, newest[i].name) == 0)
            found = dlvsym(RTLD_NEXT, name, newest[i].version);
    return found ? found : dlsym(RTLD_NEXT, name);
}

static void fill(void)
{
#define LOOK_UP(name) *(void **)(void *)&table.name = look_up(#name);
    SS_REAL_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
#if !__GLIBC_PREREQ(2, 33)
    if (!table.fstatat)
        table.fstatat = fstatat_by_number;
#endif
    atomic_store_explicit(&filled, true, memory_order_release);
}

const struct ss_real *ss_real(void)
{
    if (atomic_load_explicit(&filled, memory_order_acquire))
        return &table;
    fill();
    return &table;
}

const struct ss_real *ss_real_or_early(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    if (!atomic_load_explicit(&filled, memory_order_acquire))
        return &ss_early;
#endif
    return ss_real();
}
