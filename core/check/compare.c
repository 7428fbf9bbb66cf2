#include "compare.h"

#include <errno.h>
#include <inttypes.h>

#include "core/hasher.h"
#include "core/util.h"

#define PROGRESS_STEP (UINT64_C(64) << 20) /* bytes, as ss_digest_verity has it */

/* One read: whether it may be, then what it gave. */
static int add_unit(int fd, uint64_t at, size_t len, const struct ss_digest_run *run, unsigned char *buf,
                    struct ss_hasher *hasher)
{
    if (run->stop && atomic_load(run->stop))
        return -ECANCELED;
    int r = run->admit ? run->admit(run->context, len) : 0;
    if (r < 0)
        return r;
    ssize_t n = ss_pread_full(fd, buf, len, (off_t)at);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return -ENODATA;
    ss_hasher_add(hasher, buf, len);
    return 0;
}

int ss_compare_sha256(int fd, uint64_t size, const struct ss_digest_run *run, struct ss_sha256 *digest)
{
    SS_AUTO_FREE unsigned char *buf = malloc(SS_DIGEST_UNIT);
    struct ss_hasher hasher;

    if (!buf)
        return -ENOMEM;
    if (size > INT64_MAX)
        return -ENODATA;
    int r = ss_hasher_open(&hasher);
    for (uint64_t at = 0; r == 0 && at < size;) {
        size_t len = size - at < SS_DIGEST_UNIT ? (size_t)(size - at) : SS_DIGEST_UNIT;
        r = add_unit(fd, at, len, run, buf, &hasher);
        at += len;
        if (r == 0 && run->progress && at % PROGRESS_STEP == 0)
            r = run->progress(run->context, at, size);
    }
    if (r == 0)
        ss_hasher_finish(&hasher, digest);
    return r;
}

int ss_compare(int fd, uint64_t size, const struct ss_reference *reference, const struct ss_digest_run *run,
               struct ss_judgement *why)
{
    const struct ss_sha256 *wanted = reference->has_verity ? &reference->verity : &reference->sha256;
    struct ss_sha256 digest;

    if (reference->has_size && size != reference->size) {
        ss_judge(why, size < reference->size ? SS_TRUNCATED : SS_GROWN, "%" PRIu64 " bytes instead of %" PRIu64, size,
                 reference->size);
        return 0;
    }
    int r =
        reference->has_verity ? ss_digest_verity(fd, size, run, &digest) : ss_compare_sha256(fd, size, run, &digest);
    if (r == 0)
        ss_judge(why, ss_sha256_equal(&digest, wanted) ? SS_INTACT : SS_DIFFERS, "%s", "");
    return r;
}
