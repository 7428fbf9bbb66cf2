#include "failures.h"

#include <string.h>

static void remove_at(struct ss_failures *failures, uint32_t i)
{
    failures->count--;
    memmove(&failures->range[i], &failures->range[i + 1], (failures->count - i) * sizeof failures->range[0]);
}

/* Needs a free place. */
static void insert_at(struct ss_failures *failures, uint32_t i, struct ss_failure range)
{
    memmove(&failures->range[i + 1], &failures->range[i], (failures->count - i) * sizeof failures->range[0]);
    failures->range[i] = range;
    failures->count++;
}

/* Frees a place by joining the two neighbours with the smallest gap. */
static void join_nearest(struct ss_failures *failures)
{
    uint32_t best = 0;
    uint64_t best_gap = UINT64_MAX;

    for (uint32_t i = 0; i + 1 < failures->count; i++) {
        uint64_t gap = failures->range[i + 1].start - failures->range[i].end;
        if (gap < best_gap) {
            best = i;
            best_gap = gap;
        }
    }
    failures->range[best].end = failures->range[best + 1].end;
    remove_at(failures, best + 1);
}

void ss_failures_resolve(struct ss_failures *failures, uint64_t start, uint64_t end)
{
    for (uint32_t i = 0; i < failures->count;) {
        struct ss_failure *range = &failures->range[i];
        struct ss_failure rest = *range;

        if (range->end <= start || range->start >= end) {
            i++;
        } else if (range->start < start && range->end > end) {
            /* Cut in two: make room first, which may join ranges, so look at them again. */
            if (failures->count == SS_FAILURES_MAX) {
                join_nearest(failures);
                i = 0;
                continue;
            }
            range->end = start;
            rest.start = end;
            insert_at(failures, i + 1, rest);
            return;
        } else if (range->start < start) {
            range->end = start;
            i++;
        } else if (range->end > end) {
            range->start = end;
            i++;
        } else {
            remove_at(failures, i);
        }
    }
}

void ss_failures_add(struct ss_failures *failures, uint64_t start, uint64_t end, int error)
{
    if (start >= end)
        return;
    ss_failures_resolve(failures, start, end); /* the newest error stands for its bytes */
    if (failures->count == SS_FAILURES_MAX)
        join_nearest(failures);

    uint32_t i = 0;
    while (i < failures->count && failures->range[i].start < start)
        i++;
    /* Neighbours grow together, and a join may have swallowed the place where it belongs. */
    if (i > 0 && failures->range[i - 1].end >= start) {
        if (failures->range[i - 1].end < end)
            failures->range[i - 1].end = end;
        return;
    }
    insert_at(failures, i, (struct ss_failure){.start = start, .end = end, .error = error});
}

const struct ss_failure *ss_failures_first(const struct ss_failures *failures)
{
    return failures->count ? &failures->range[0] : NULL;
}
