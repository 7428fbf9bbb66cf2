/* What a verification has found so far, as text: one line about the run, then one for each file. Each is a record
 * (core/record.h); docs/verify.md has the keys. Pure functions over bytes; thread-safe. */
#ifndef SAVESEAL_CORE_CHECK_VERIFY_STATE_H
#define SAVESEAL_CORE_CHECK_VERIFY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include "core/finding.h"
#include "core/record.h"

#define SS_VERIFY_STATE_MAX ((size_t)128 << 20)      /* bytes: more than half a million files */
#define SS_VERIFY_STATE_LINE_MAX (SS_RECORD_MAX + 1) /* newline included */
#define SS_VERIFY_STAMP_SIZE 128

struct ss_verify_result {
    char *path;  /* as it was given or found */
    char *stamp; /* ss_verify_stamp() of the file that was verified */
    enum ss_finding finding;
    bool content; /* as in struct ss_check */
};

struct ss_verify_state {
    char *mode;    /* what kind of verification it is: only the same goes on with it */
    char *against; /* what files are compared with, "" for their seals */
    bool finished; /* it had come to its end */
    struct ss_verify_result *result;
    size_t count;
};

/* What changes when the file is another or has been changed. fs is the id of its file system as statfs has it, 0 where
 * it has none: then the device's number stands for it, which another mount may change. */
void ss_verify_stamp(const struct stat *st, uint64_t fs, char stamp[SS_VERIFY_STAMP_SIZE]);

/* The id for ss_verify_stamp. */
uint64_t ss_verify_fs(const struct statfs *fs);

/* Reads a whole state. *line is that of the first mistake, from 1. Returns 0; -EINVAL when it is no state at all,
 * -EPROTONOSUPPORT when it is one of a newer version, -EBADMSG when it is malformed, -ENOMEM. Sorted by path on
 * success, and to be freed; else nothing is left. */
int ss_verify_state_decode(const char *bytes, size_t len, struct ss_verify_state *state, size_t *line);

/* The first line, and that of a file, with newline, without NUL. Return the length, or -E2BIG: such a file can not be
 * remembered. */
ssize_t ss_verify_state_encode(const struct ss_verify_state *state, char line[SS_VERIFY_STATE_LINE_MAX]);
ssize_t ss_verify_result_encode(const struct ss_verify_result *result, char line[SS_VERIFY_STATE_LINE_MAX]);

/* The result for a path in a state that was decoded, or NULL. */
const struct ss_verify_result *ss_verify_state_find(const struct ss_verify_state *state, const char *path);

void ss_verify_state_free(struct ss_verify_state *state);

#endif
