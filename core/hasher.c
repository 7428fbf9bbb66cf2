#include "hasher.h"

#include <errno.h>

#include "crypto.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof((struct ss_hasher *)0)->context, "there is room for the context");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(uint64_t), "and it may be there");

static SHA256_CTX *context(struct ss_hasher *hasher)
{
    return (SHA256_CTX *)(void *)hasher->context;
}

/* None of these functions can fail. */
int ss_hasher_open(struct ss_hasher *hasher)
{
    hasher->crypto = ss_crypto();
    if (!hasher->crypto)
        return -ENOSYS;
    hasher->crypto->SHA256_Init(context(hasher));
    return 0;
}

void ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len)
{
    hasher->crypto->SHA256_Update(context(hasher), bytes, len);
}

void ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest)
{
    hasher->crypto->SHA256_Final(digest->bytes, context(hasher));
    hasher->crypto->SHA256_Init(context(hasher));
}

void ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest)
{
    ss_hasher_add(hasher, bytes, len);
    ss_hasher_finish(hasher, digest);
}
