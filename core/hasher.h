/* SHA-256 as a stream. */
#ifndef SAVESEAL_CORE_HASHER_H
#define SAVESEAL_CORE_HASHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"

struct ss_crypto;
struct ss_lanes;

/* One thread's hashing. Needs no closing where ss_hasher_digest_many was called once at most. */
struct ss_hasher {
    const struct ss_crypto *crypto;
    struct ss_lanes *lanes; /* NULL: not yet, not any more, or not possible here */
    bool tried;             /* to have them */
    size_t done;            /* until then: bytes of ss_hasher_digest_many */
    uint64_t context[16];   /* room for libcrypto's */
};

/* Returns 0, or -ENOSYS when there is no libcrypto. */
int ss_hasher_open(struct ss_hasher *hasher);

/* finish gives the digest of what was added and starts again. */
void ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len);
void ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest);

/* The two in one. */
void ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest);

struct ss_hasher_job {
    const void *bytes;
    struct ss_sha256 *digest;
};

#define SS_HASHER_NARROW SS_DIGEST_UNIT

/* Digests of count blocks of len bytes each, less than 64 KiB: the same as with ss_hasher_digest one by one. After
 * SS_HASHER_NARROW bytes it takes what is faster, if there is anything (core/lanes.h), which is not worth its 0.1 ms
 * and 200 KiB before. */
void ss_hasher_digest_many(struct ss_hasher *hasher, const struct ss_hasher_job job[], size_t count, size_t len);
void ss_hasher_close(struct ss_hasher *hasher);

#endif
