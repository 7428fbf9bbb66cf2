/* The functions of OpenSSL's libcrypto that digests are made with. There are two modules of this interface:
 * core/crypto.c is linked against it; preload/crypto.c loads it when the first digest is made, for processes that must
 * not have it before. */
#ifndef SAVESEAL_CORE_CRYPTO_H
#define SAVESEAL_CORE_CRYPTO_H

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define SS_CRYPTO_FUNCTIONS(X)                                                                                         \
    X(OPENSSL_init_crypto)                                                                                             \
    X(EVP_MD_fetch)                                                                                                    \
    X(EVP_MD_free)                                                                                                     \
    X(EVP_MD_CTX_new)                                                                                                  \
    X(EVP_MD_CTX_free)                                                                                                 \
    X(EVP_DigestInit_ex2)                                                                                              \
    X(EVP_DigestUpdate)                                                                                                \
    X(EVP_DigestFinal_ex)                                                                                              \
    X(ERR_clear_error)

struct ss_crypto {
#define SS_CRYPTO_MEMBER(name) __typeof__ (&(name))(name);
    SS_CRYPTO_FUNCTIONS(SS_CRYPTO_MEMBER)
#undef SS_CRYPTO_MEMBER
};

/* NULL when libcrypto can't be loaded. Thread-safe. */
const struct ss_crypto *ss_crypto(void);

#endif
