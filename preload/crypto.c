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
    /* What is open at exit is sealed by the last exit handler: after libcrypto's own, if it had one. */
    if (complete)
        loaded.OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

const struct ss_crypto *ss_crypto(void)
{
    pthread_once(&once, load);
    /* A program that uses it, too, may have cleaned it up by now: then it says that it can not be initialised again. */
    return complete && loaded.OPENSSL_init_crypto(0, NULL) == 1 ? &loaded : NULL;
}
