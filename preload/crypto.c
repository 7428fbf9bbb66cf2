/* See core/crypto.h. */
#include "core/crypto.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

static struct ss_crypto loaded;
static _Atomic bool complete;

/* RTLD_LOCAL: a program that has another libcrypto goes on with that one. It stays until the process ends. What fails,
 * for want of a descriptor perhaps, is tried again. Two threads at once store the same values at worst. */
static bool load(void)
{
    void *library = dlopen(SAVESEAL_LIBCRYPTO, RTLD_NOW | RTLD_LOCAL);
    bool found = true;

    if (!library)
        return false;
#define LOOK_UP(name)                                                                                                  \
    *(void **)(void *)&loaded.name = dlsym(library, #name);                                                            \
    found &= loaded.name != NULL;
    SS_CRYPTO_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (found)
        atomic_store_explicit(&complete, true, memory_order_release);
    return found;
}

const struct ss_crypto *ss_crypto(void)
{
    return atomic_load_explicit(&complete, memory_order_acquire) || load() ? &loaded : NULL;
}
