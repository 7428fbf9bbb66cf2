/* The functions of OpenSSL's libcrypto that digests are made with. There are two modules of this interface:
 * core/crypto.c is linked against it; preload/crypto.c loads it when the first digest is made, for processes that must
 * not have it before.
 *
 * The low-level functions, which OpenSSL would rather not have used: they need no initialisation, so they work in a
 * process whose own use of libcrypto ended with OPENSSL_cleanup, before the last files are closed. */
#ifndef SAVESEAL_CORE_CRYPTO_H
#define SAVESEAL_CORE_CRYPTO_H

#include "lanes.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#define SS_CRYPTO_FUNCTIONS(X)                                                                                         \
    X(SHA256_Init)                                                                                                     \
    X(SHA256_Update)                                                                                                   \
    X(SHA256_Final)

struct ss_crypto {
#define SS_CRYPTO_MEMBER(name) __typeof__ (&(name))(name);
    SS_CRYPTO_FUNCTIONS(SS_CRYPTO_MEMBER)
#undef SS_CRYPTO_MEMBER
    const struct ss_lanes_functions *lanes; /* what is quicker for many blocks; NULL: nothing */
};

/* NULL when libcrypto can't be loaded. Thread-safe. */
const struct ss_crypto *ss_crypto(void);

#endif
