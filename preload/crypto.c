/* See core/crypto.h. */
#include "crypto.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "core/crypto.h"

#define WAIT_MS 1000 /* a thread that loads may itself wait: for one that loads another library, and forks in it */

static struct ss_crypto loaded;
static _Atomic bool storing; /* some thread fills loaded, which takes it a moment only; and then: */
static _Atomic bool complete;
static _Atomic bool spoilt; /* in a child: the memory is a copy of a library that was being loaded */
static _Atomic int loading; /* threads that are at it */
static _Atomic int forking; /* threads that are about to fork, or do */

static void pause_a_moment(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

void ss_crypto_before_fork(bool wait)
{
    atomic_fetch_add(&forking, 1);
    for (int i = 0; wait && i < WAIT_MS && atomic_load(&loading) > 0; i++)
        pause_a_moment();
}

void ss_crypto_after_fork(void)
{
    atomic_fetch_sub(&forking, 1);
}

void ss_crypto_in_child(void)
{
    atomic_store(&spoilt, atomic_load(&spoilt) || atomic_load(&loading) > 0);
    atomic_store(&loading, 0);
    atomic_store(&forking, 0);
}

/* Each says first that it begins, and then looks whether the other has: one of them sees it. */
static void begin_loading(void)
{
    atomic_fetch_add(&loading, 1);
    for (int i = 0; i < WAIT_MS && atomic_load(&forking) > 0; i++) {
        atomic_fetch_sub(&loading, 1);
        pause_a_moment();
        atomic_fetch_add(&loading, 1);
    }
}

/* RTLD_LOCAL: a program that has another libcrypto goes on with that one. It stays until the process ends. What fails,
 * for want of a descriptor perhaps, is tried again. */
static bool look_up(struct ss_crypto *found)
{
    void *library = dlopen(SAVESEAL_LIBCRYPTO, RTLD_NOW | RTLD_LOCAL);
    bool all = true;

    if (!library)
        return false;
#define LOOK_UP(name)                                                                                                  \
    *(void **)(void *)&found->name = dlsym(library, #name);                                                            \
    all &= found->name != NULL;
    SS_CRYPTO_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return all;
}

/* Of two threads that have looked it up at once, one stores it. */
static void store(const struct ss_crypto *found)
{
    if (!atomic_exchange(&storing, true)) {
        loaded = *found;
        atomic_store_explicit(&complete, true, memory_order_release);
    }
    while (!atomic_load_explicit(&complete, memory_order_acquire))
        pause_a_moment();
}

const struct ss_crypto *ss_crypto(void)
{
    if (atomic_load_explicit(&complete, memory_order_acquire))
        return &loaded;
    if (atomic_load(&spoilt))
        return NULL;
    begin_loading();
    struct ss_crypto here = {0}; /* lanes are not for the memory of others */
    bool found = look_up(&here);
    if (found)
        store(&here);
    atomic_fetch_sub(&loading, 1);
    return found ? &loaded : NULL;
}
