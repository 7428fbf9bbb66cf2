#include "real.h"

#include <dlfcn.h>
#include <stdatomic.h>

static struct ss_real table;
static _Atomic bool filled;

static void fill(void)
{
#define LOOK_UP(name) *(void **)(void *)&table.name = dlsym(RTLD_NEXT, #name);
    SS_REAL_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    atomic_store_explicit(&filled, true, memory_order_release);
}

const struct ss_real *ss_real(void)
{
    if (!atomic_load_explicit(&filled, memory_order_acquire))
        fill();
    return &table;
}
