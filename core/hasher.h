/* SHA-256 as a stream. */
#ifndef SAVESEAL_CORE_HASHER_H
#define SAVESEAL_CORE_HASHER_H

#include <stddef.h>

#include "digest.h"

struct ss_crypto;

/* One thread's hashing. Looking the algorithm up and making a context cost more than a small block: done once. */
struct ss_hasher {
    const struct ss_crypto *crypto;
    void *algorithm; /* EVP_MD */
    void *context;   /* EVP_MD_CTX */
};

/* To be closed also when this fails. Returns 0, -ENOMEM, or -ENOSYS when there is no libcrypto. */
int ss_hasher_open(struct ss_hasher *hasher);

/* One that is all zero will do. */
void ss_hasher_close(struct ss_hasher *hasher);

/* Return 0 or -ENOMEM. finish gives the digest of what was added and starts again. */
int ss_hasher_add(struct ss_hasher *hasher, const void *bytes, size_t len);
int ss_hasher_finish(struct ss_hasher *hasher, struct ss_sha256 *digest);

/* The two in one. */
int ss_hasher_digest(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest);

#define SS_AUTO_HASHER __attribute__((cleanup(ss_hasher_close)))

#endif
