/* A file against what somebody noted of it, or of another one that it should be equal to. */
#ifndef SAVESEAL_CORE_CHECK_COMPARE_H
#define SAVESEAL_CORE_CHECK_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/digest.h"
#include "judgement.h"

/* What is known of the content. At least one of the digests. */
struct ss_reference {
    bool has_size, has_verity, has_sha256;
    uint64_t size;           /* bytes */
    struct ss_sha256 verity; /* fs-verity digest */
    struct ss_sha256 sha256; /* plain SHA-256, as sha256sum prints it: used where there is no other, for only one core
                              * can work on it */
};

/* Compares the first size bytes of fd: *why is SS_INTACT, SS_TRUNCATED, SS_GROWN or SS_DIFFERS. run as for
 * ss_digest_verity. Returns 0, -ENODATA when the file is shorter by now, or the digests' -errno. Thread-safe. */
int ss_compare(int fd, uint64_t size, const struct ss_reference *reference, const struct ss_digest_run *run,
               struct ss_judgement *why);

/* Plain SHA-256 of the first size bytes of fd, by the calling thread alone. Of run, stop, progress, admit and context
 * count. Returns 0 or what ss_digest_verity does. */
int ss_compare_sha256(int fd, uint64_t size, const struct ss_digest_run *run, struct ss_sha256 *digest);

#endif
