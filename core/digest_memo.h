/* What a long digest remembers of a file that changes: the digests of its units, so that only those that were changed
 * since are made again. A unit is SS_DIGEST_UNIT bytes; what lies beyond 256 GiB, and a last unit that is shorter, is
 * not remembered. Takes 40 bytes a unit: 80 KiB for each GiB. Thread-safe.
 *
 * Who changes the file calls ss_digest_memo_forget when it is changed, and only then lets anybody know. A digest that
 * runs meanwhile reads what was there before or after, and does not remember it. */
#ifndef SAVESEAL_CORE_DIGEST_MEMO_H
#define SAVESEAL_CORE_DIGEST_MEMO_H

#include "digest.h"

struct ss_digest_memo;

/* Returns NULL when there is no memory. free: NULL is fine. */
struct ss_digest_memo *ss_digest_memo_new(void);
void ss_digest_memo_free(struct ss_digest_memo *memo);

/* Bytes [start, end) were changed; UINT64_MAX: to the end, whatever that is. Cheap where nothing is remembered. */
void ss_digest_memo_forget(struct ss_digest_memo *memo, uint64_t start, uint64_t end);

/* For digest.c. find: is it remembered? first_unknown: of unit `from` and those behind it. end: none from there on ever
 * will be. begin: it is about to be read; returns what put has to be given, or 0 when it can not be remembered. put:
 * does nothing when the unit was changed since. */
bool ss_digest_memo_find(struct ss_digest_memo *memo, uint64_t unit, struct ss_sha256 *digest);
uint64_t ss_digest_memo_first_unknown(struct ss_digest_memo *memo, uint64_t from);
uint64_t ss_digest_memo_end(const struct ss_digest_memo *memo);
uint64_t ss_digest_memo_begin(struct ss_digest_memo *memo, uint64_t unit);
void ss_digest_memo_put(struct ss_digest_memo *memo, uint64_t unit, uint64_t begun, const struct ss_sha256 *digest);

#endif
