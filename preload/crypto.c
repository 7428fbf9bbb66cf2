/* See core/crypto.h. */
#include "core/crypto.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

static struct ss_crypto loaded;
static bool complete;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* RTLD_LOCAL: a program that has another libcrypto goes on with that one. It stays until the process ends. */
static void load(void)
{
    void *library = dlopen(SAVESEAL_LIBCRYPTO, RTLD_NOW | RTLD_LOCAL);

    complete = library != NULL;
#define LOOK_UP(name)                                                                                                  \
    *(void **)(void *)&loaded.name = library ? dlsym(library, #name) : NULL;                                           \
    complete &= loaded.name != NULL;
    SS_CRYPTO_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
}

const struct ss_crypto *ss_crypto(void)
{
    pthread_once(&once, load);
    return complete ? &loaded : NULL;
}
