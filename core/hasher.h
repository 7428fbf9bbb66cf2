/* SHA-256 as a stream. */
#ifndef SAVESEAL_CORE_HASHER_H
#define SAVESEAL_CORE_HASHER_H

#include <stddef.h>
#include <stdint.h>

#include "digest.h"

struct ss_crypto;
struct ss_lanes;

/* One thread's hashing. Needs no closing unless it was widened. */
struct ss_hasher {
    const struct ss_crypto *crypto;
    struct ss_lanes *lanes; /* NULL: not widened, or that is not possible here */
    uint64_t context[16];   /* room for libcrypto's */
};

/* Returns 0, or -ENOSYS when there is no libcrypto. */
int ss_hasher_open(struct ss_hasher *hasher);

/* finish gives the digest of what was added and starts again. */
void ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len);
void ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest);

/* The two in one. */
void ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest);

/* Many blocks are to be digested: prepares for that what there is (core/lanes.h). Costs some 0.1 ms and 200 KiB, so it
 * pays off from some MiB on. */
void ss_hasher_widen(struct ss_hasher *hasher);
void ss_hasher_close(struct ss_hasher *hasher);

struct ss_hasher_job {
    const void *bytes;
    struct ss_sha256 *digest;
};

/* Digests of count blocks of len bytes each: the same as with ss_hasher_digest one by one. */
void ss_hasher_digest_many(struct ss_hasher *hasher, const struct ss_hasher_job job[], size_t count, size_t len);

#endif
