#include "hasher.h"

#include <errno.h>

#include "crypto.h"

/* OpenSSL fails here only for want of memory. What it noted about that must not surprise the program around us. */
static int result(const struct ss_crypto *crypto, int ok)
{
    if (ok == 1)
        return 0;
    crypto->ERR_clear_error();
    return -ENOMEM;
}

int ss_hasher_open(struct ss_hasher *hasher)
{
    const struct ss_crypto *crypto = ss_crypto();

    if (!crypto)
        return -ENOSYS;
    hasher->crypto = crypto;
    hasher->algorithm = crypto->EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->context = crypto->EVP_MD_CTX_new();
    if (!hasher->algorithm || !hasher->context)
        return result(crypto, 0);
    return result(crypto, crypto->EVP_DigestInit_ex2(hasher->context, hasher->algorithm, NULL));
}

void ss_hasher_close(struct ss_hasher *hasher)
{
    if (!hasher->crypto)
        return;
    hasher->crypto->EVP_MD_CTX_free(hasher->context);
    hasher->crypto->EVP_MD_free(hasher->algorithm);
}

int ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len)
{
    return result(hasher->crypto, hasher->crypto->EVP_DigestUpdate(hasher->context, bytes, len));
}

int ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest)
{
    const struct ss_crypto *crypto = hasher->crypto;
    int err = result(crypto, crypto->EVP_DigestFinal_ex(hasher->context, digest->bytes, NULL));

    return err < 0 ? err : result(crypto, crypto->EVP_DigestInit_ex2(hasher->context, NULL, NULL));
}

int ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest)
{
    int err = ss_hasher_add(hasher, bytes, len);

    return err < 0 ? err : ss_hasher_finish(hasher, digest);
}
