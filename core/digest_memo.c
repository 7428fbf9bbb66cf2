#include "digest_memo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SEGMENT_UNITS 512
#define SEGMENTS_MAX 1024

struct unit {
    struct ss_sha256 digest;
    uint32_t changes; /* counts how often it was forgotten */
    bool known;
};

struct ss_digest_memo {
    _Atomic uint64_t reach; /* units from here on were never begun; goes up with lock held */
    pthread_mutex_t lock;   /* guards the rest */
    uint64_t known_to;      /* all units below are known */
    struct unit *segment[SEGMENTS_MAX];
};

struct ss_digest_memo *ss_digest_memo_new(void)
{
    struct ss_digest_memo *memo = calloc(1, sizeof *memo);

    if (memo)
        pthread_mutex_init(&memo->lock, NULL);
    return memo;
}

void ss_digest_memo_free(struct ss_digest_memo *memo)
{
    if (!memo)
        return;
    for (size_t i = 0; i < SEGMENTS_MAX; i++)
        free(memo->segment[i]);
    pthread_mutex_destroy(&memo->lock);
    free(memo);
}

/* With lock held: NULL when nothing of it was ever begun. */
static struct unit *unit_at(struct ss_digest_memo *memo, uint64_t index)
{
    struct unit *segment = index / SEGMENT_UNITS < SEGMENTS_MAX ? memo->segment[index / SEGMENT_UNITS] : NULL;
    return segment ? &segment[index % SEGMENT_UNITS] : NULL;
}

void ss_digest_memo_forget(struct ss_digest_memo *memo, uint64_t start, uint64_t end)
{
    uint64_t first = start / SS_DIGEST_UNIT, reach = atomic_load(&memo->reach);

    if (start >= end || first >= reach)
        return; /* whoever begins one from now on reads what is there now */
    uint64_t last = (end - 1) / SS_DIGEST_UNIT;
    last = last < reach ? last : reach - 1;
    pthread_mutex_lock(&memo->lock);
    memo->known_to = memo->known_to < first ? memo->known_to : first;
    for (uint64_t i = first; i <= last; i++) {
        struct unit *unit = unit_at(memo, i);
        if (!unit)
            continue;
        unit->changes++;
        unit->known = false;
    }
    pthread_mutex_unlock(&memo->lock);
}

bool ss_digest_memo_find(struct ss_digest_memo *memo, uint64_t index, struct ss_sha256 *digest)
{
    pthread_mutex_lock(&memo->lock);
    const struct unit *unit = unit_at(memo, index);
    bool known = unit && unit->known;
    if (known)
        *digest = unit->digest;
    pthread_mutex_unlock(&memo->lock);
    return known;
}

/* With lock held. */
static uint64_t known_from(struct ss_digest_memo *memo, uint64_t index)
{
    const struct unit *unit = unit_at(memo, index);

    while (unit && unit->known)
        unit = unit_at(memo, ++index);
    return index;
}

uint64_t ss_digest_memo_first_unknown(struct ss_digest_memo *memo, uint64_t from)
{
    pthread_mutex_lock(&memo->lock);
    memo->known_to = known_from(memo, memo->known_to);
    uint64_t first = from > memo->known_to ? known_from(memo, from) : memo->known_to;
    pthread_mutex_unlock(&memo->lock);
    return first;
}

uint64_t ss_digest_memo_end(const struct ss_digest_memo *memo)
{
    (void)memo;
    return (uint64_t)SEGMENTS_MAX * SEGMENT_UNITS;
}

uint64_t ss_digest_memo_begin(struct ss_digest_memo *memo, uint64_t index)
{
    uint64_t segment = index / SEGMENT_UNITS, begun = 0;

    if (segment >= SEGMENTS_MAX)
        return 0;
    pthread_mutex_lock(&memo->lock);
    if (!memo->segment[segment])
        memo->segment[segment] = calloc(SEGMENT_UNITS, sizeof(struct unit));
    if (memo->segment[segment]) {
        begun = (uint64_t)unit_at(memo, index)->changes + 1;
        if (index >= atomic_load(&memo->reach))
            atomic_store(&memo->reach, index + 1);
    }
    pthread_mutex_unlock(&memo->lock);
    return begun;
}

void ss_digest_memo_put(struct ss_digest_memo *memo, uint64_t index, uint64_t begun, const struct ss_sha256 *digest)
{
    pthread_mutex_lock(&memo->lock);
    struct unit *unit = unit_at(memo, index);
    if (unit && (uint64_t)unit->changes + 1 == begun) {
        unit->digest = *digest;
        unit->known = true;
    }
    pthread_mutex_unlock(&memo->lock);
}
