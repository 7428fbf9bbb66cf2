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
    hasher->lanes = NULL;
    hasher->done = 0;
    hasher->tried = false;
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

void ss_hasher_close(struct ss_hasher *hasher)
{
    if (hasher->lanes)
        hasher->crypto->lanes->close(hasher->lanes);
    hasher->lanes = NULL;
}

static void widen_when_worth_it(struct ss_hasher *hasher)
{
    if (hasher->tried || hasher->done < SS_HASHER_NARROW)
        return;
    hasher->tried = true;
    if (hasher->crypto->lanes)
        hasher->lanes = hasher->crypto->lanes->open();
}

void ss_hasher_digest_many(struct ss_hasher *hasher, const struct ss_hasher_job job[], size_t count, size_t len)
{
    widen_when_worth_it(hasher);
    if (hasher->lanes && hasher->crypto->lanes->digest(hasher->lanes, job, count, len))
        return;
    ss_hasher_close(hasher); /* they failed, if there were any */
    for (size_t i = 0; i < count; i++)
        ss_hasher_digest(hasher, job[i].bytes, len, job[i].digest);
    hasher->done += hasher->tried ? 0 : count * len;
}
