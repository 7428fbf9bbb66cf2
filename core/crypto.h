/* The functions of OpenSSL's libcrypto that digests are made with. There are two modules of this interface:
 * core/crypto.c is linked against it; preload/crypto.c loads it when the first digest is made, for processes that must
 * not have it before. */
#ifndef SAVESEAL_CORE_CRYPTO_H
#define SAVESEAL_CORE_CRYPTO_H

#include <openssl/err.h>
#include <openssl/evp.h>

/* X(return type, name, parameters) */
#define SS_CRYPTO_FUNCTIONS(X)                                                                                         \
    X(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *, const char *, const char *))                                            \
    X(void, EVP_MD_free, (EVP_MD *))                                                                                   \
    X(EVP_MD_CTX *, EVP_MD_CTX_new, (void))                                                                            \
    X(void, EVP_MD_CTX_free, (EVP_MD_CTX *))                                                                           \
    X(int, EVP_DigestInit_ex2, (EVP_MD_CTX *, const EVP_MD *, const OSSL_PARAM *))                                     \
    X(int, EVP_DigestUpdate, (EVP_MD_CTX *, const void *, size_t))                                                     \
    X(int, EVP_DigestFinal_ex, (EVP_MD_CTX *, unsigned char *, unsigned *))                                            \
    X(void, ERR_clear_error, (void))

struct ss_crypto {
#define SS_CRYPTO_MEMBER(type, name, parameters) type(*name) parameters;
    SS_CRYPTO_FUNCTIONS(SS_CRYPTO_MEMBER)
#undef SS_CRYPTO_MEMBER
};

/* NULL when libcrypto can't be loaded. Thread-safe. */
const struct ss_crypto *ss_crypto(void);

#endif
