/* Digests of files. */
#ifndef SAVESEAL_CORE_DIGEST_H
#define SAVESEAL_CORE_DIGEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SS_SHA256_SIZE 32
#define SS_SHA256_HEX_SIZE 65 /* 64 lower-case hex digits and a NUL */

struct ss_sha256 {
    unsigned char bytes[SS_SHA256_SIZE];
};

void ss_sha256_format(const struct ss_sha256 *digest, char hex[SS_SHA256_HEX_SIZE]);

/* Parses exactly 64 lower-case hex digits. Returns 0 or -EBADMSG. */
int ss_sha256_parse(const char *hex, struct ss_sha256 *digest);

bool ss_sha256_equal(const struct ss_sha256 *a, const struct ss_sha256 *b);

/* SHA-256 of the first len bytes of fd (pread, the file offset is not touched).
 * Returns 0, -ENODATA when the file is shorter, -ENOSYS without libcrypto, or the read's -errno. */
int ss_digest_head(int fd, uint64_t len, struct ss_sha256 *digest);

/* SHA-256 of bytes in memory. Returns 0, or -ENOSYS without libcrypto. */
int ss_digest_of(const void *bytes, size_t len, struct ss_sha256 *digest);

#define SS_DIGEST_UNIT ((size_t)512 << 10) /* bytes: what of a file is digested in one piece */

struct ss_digest_memo;

/* How a long digest is run. All zero is the default. */
struct ss_digest_run {
    bool drops;       /* what was read is not to stay in the page cache */
    unsigned threads; /* 0: one per core that this process may use; at most 64 are used */

    struct ss_digest_memo *memo; /* what is known of the file, and to be remembered; may be NULL */
    const _Atomic bool *stop;    /* when it becomes true the run ends soon, with -ECANCELED; may be NULL */

    /* Called about every 64 MiB, one call at a time but from any of the threads, with the bytes done so far, which
     * never go down. The other threads may have to wait for it. A non-zero return (-errno) ends the run with that
     * value, and there are no more calls. May be NULL. */
    int (*progress)(void *context, uint64_t done, uint64_t size);

    /* Called before each read, with its length of at most SS_DIGEST_UNIT, from any of the threads and from several at a
     * time. It may wait, so that reading is no faster than somebody wants. A non-zero return (-errno) ends the run with
     * that value. May be NULL. */
    int (*admit)(void *context, size_t len);
    void *context;
};

/* The fs-verity digest (SHA-256, 4096-byte blocks, no salt) of the first size bytes of fd: what the kernel's
 * FS_IOC_MEASURE_VERITY and `fsverity digest` print for such a file. Above 512 KiB the calling thread has helpers,
 * with all signals blocked. At most 64 MiB of memory whatever the size. Reads with pread; holes are found with
 * SEEK_DATA and not read, which moves the file offset meanwhile (it is put back). run may be NULL. Returns 0, -ENODATA
 * when the file is shorter than size, -ENOMEM, -ENOSYS without libcrypto, -ECANCELED, the read's -errno, or what
 * progress or admit returned. Source: Linux Documentation/filesystems/fsverity.rst, "Merkle tree" and "fs-verity
 * descriptor". */
int ss_digest_verity(int fd, uint64_t size, const struct ss_digest_run *run, struct ss_sha256 *digest);

/* The same of a whole file of at most SS_DIGEST_UNIT bytes that has been read. Behind them there has to be room for
 * SS_DIGEST_PADDING bytes, which are overwritten. Returns 0, or -ENOSYS without libcrypto. */
#define SS_DIGEST_PADDING ((size_t)4095)
int ss_digest_verity_of(void *bytes, size_t size, struct ss_sha256 *digest);

/* Digests what of the file, from byte `from` on, is in the page cache into run's memo, which must not be NULL, and
 * nothing more: for a later ss_digest_verity. Begins behind what is known from there on. Where the file system can not
 * tell what is cached nothing is read. Returns 0 or what ss_digest_verity does. */
int ss_digest_ahead(int fd, uint64_t from, uint64_t size, const struct ss_digest_run *run);

#endif
