/* libcrypto in a process that forks: a child must not get a half loaded one. */
#ifndef SAVESEAL_PRELOAD_CRYPTO_H
#define SAVESEAL_PRELOAD_CRYPTO_H

#include <stdbool.h>

/* Around fork: with wait, waits for threads that are loading it, and keeps others from beginning. in_child: where one
 * was loading all the same, the child has none. */
void ss_crypto_before_fork(bool wait);
void ss_crypto_after_fork(void);
void ss_crypto_in_child(void);

#endif
