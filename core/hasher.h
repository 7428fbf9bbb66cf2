/* SHA-256 as a stream. */
#ifndef SAVESEAL_CORE_HASHER_H
#define SAVESEAL_CORE_HASHER_H

#include <stddef.h>
#include <stdint.h>

#include "digest.h"

struct ss_crypto;

/* One thread's hashing. Needs no closing. */
struct ss_hasher {
    const struct ss_crypto *crypto;
    uint64_t context[16]; /* room for libcrypto's */
};

/* Returns 0, or -ENOSYS when there is no libcrypto. */
int ss_hasher_open(struct ss_hasher *hasher);

/* finish gives the digest of what was added and starts again. */
void ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len);
void ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest);

/* The two in one. */
void ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest);

#endif
