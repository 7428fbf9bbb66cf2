/* Which byte ranges of a draft are unresolved: a write there failed and nothing was written over it since.
 *
 * A fixed-size value without pointers; the caller's lock guards it. */
#ifndef SAVESEAL_CORE_FAILURES_H
#define SAVESEAL_CORE_FAILURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SS_FAILURES_MAX 32

struct ss_failure {
    uint64_t start, end; /* bytes [start, end) */
    int error;           /* positive errno */
};

struct ss_failures {
    uint32_t count;
    struct ss_failure range[SS_FAILURES_MAX]; /* in order of start, not overlapping */
};

/* A write of [start, end) failed. When the table is full, neighbours are joined: what was written well between
 * them then counts as unresolved until it is written again, which errs on the safe side. */
void ss_failures_add(struct ss_failures *failures, uint64_t start, uint64_t end, int error);

/* A later write of [start, end) succeeded. */
void ss_failures_resolve(struct ss_failures *failures, uint64_t start, uint64_t end);

/* The unresolved range with the lowest offset, or NULL. */
const struct ss_failure *ss_failures_first(const struct ss_failures *failures);

#endif
