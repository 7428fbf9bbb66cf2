/* The seal: the record made when a draft is found whole. It stays on the image as the extended attribute
 * user.saveseal.seal and travels with copies that keep attributes. */
#ifndef SAVESEAL_CORE_SEAL_H
#define SAVESEAL_CORE_SEAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "digest.h"
#include "finding.h"
#include "format.h"
#include "record.h"

#define SS_SEAL_XATTR "user.saveseal.seal"
#define SS_SEAL_WRITER_MAX 64 /* bytes of the writer's name, NUL included */

struct ss_seal {
    enum ss_format format;
    uint64_t header_len; /* bytes that header covers, at most size and SS_FORMAT_HEADER_MAX */
    struct ss_sha256 header;
    uint64_t size; /* of the whole image, bytes */
    bool has_verity;
    struct ss_sha256 verity;         /* fs-verity digest, if has_verity */
    time_t sealed;                   /* seconds since the epoch, UTC */
    char writer[SS_SEAL_WRITER_MAX]; /* name of the program that saved it, may be empty */
};

/* Text codec. Keys: format header header-sha256 size verity-sha256 sealed writer; sealed is YYYY-MM-DDTHH:MM:SSZ.
 * decode: 0, or ss_record_decode's errors, and -EBADMSG when a key other than verity-sha256 is missing or a value is
 * out of range (header > size or longer than any header is, size beyond a file's, a year beyond 9999). An unknown
 * format name reads as SS_FORMAT_UNKNOWN. encode: the length in buf, or -E2BIG, and -EINVAL for a seal that decode
 * would refuse. */
int ss_seal_decode(const void *bytes, size_t len, struct ss_seal *seal);
ssize_t ss_seal_encode(const struct ss_seal *seal, char *buf, size_t size);

/* Reads the seal of an open file (not O_PATH).
 * Returns 0, -ENODATA when it has none, decode's errors, or fgetxattr's -errno. */
int ss_seal_read(int fd, struct ss_seal *seal);

/* Writes or removes it. Return 0 or -errno. Removing what is not there is no error. */
int ss_seal_write(int fd, const struct ss_seal *seal);
int ss_seal_remove(int fd);

/* Makes the seal of a file as it is now (size bytes): probes the format, digests the header, and the whole when full.
 * run (may be NULL) steers the long digest. sealed is set to now, writer (may be NULL) is copied, cut when too long.
 * Returns 0, -ENODATA when the file is shorter than size, or -errno. */
int ss_seal_make(int fd, uint64_t size, bool full, const char *writer, const struct ss_digest_run *run,
                 struct ss_seal *seal);

/* The same while the data is synced, which takes as long as the digests and waits for the disk, not for the processor:
 * sync(context) runs in another thread, with all signals blocked; *synced is what it returned. The seal has to be
 * synced after that anyway, so what is small is not synced here: *synced is SS_NOT_SYNCED then. */
#define SS_NOT_SYNCED 1
int ss_seal_make_synced(int fd, uint64_t size, bool full, const char *writer, const struct ss_digest_run *run,
                        int (*sync)(void *context), void *context, int *synced, struct ss_seal *seal);

/* Checks the file against its seal, cheaply: size and header. *finding is SS_INTACT, SS_TRUNCATED, SS_GROWN or
 * SS_HEADER_MISMATCH. Returns 0 when there is a finding, -errno when the file could not be read. */
int ss_seal_check_header(int fd, const struct ss_seal *seal, enum ss_finding *finding);

/* As above, then the whole content; adds SS_CONTENT_MISMATCH, and SS_CHANGED_WHILE_READING when the file's size, mtime
 * or ctime moved meanwhile. A seal without a whole-file digest gives what the header says. */
int ss_seal_check_content(int fd, const struct ss_seal *seal, const struct ss_digest_run *run,
                          enum ss_finding *finding);

#endif
