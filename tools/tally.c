#include "tally.h"

#include <stdlib.h>

#include "core/util.h"
#include "report.h"

static const struct {
    const char *key, *words, *word; /* word: for one, where that is different */
} parts[] = {
    [TALLY_WHOLE] = {"whole", NULL, NULL}, /* always told, and first */
    [TALLY_HEADER_INTACT] = {"header_intact", "with intact header", NULL},
    [TALLY_COMPLETE] = {"complete", "complete by their own marks", "complete by its own marks"},
    [TALLY_DAMAGED] = {"damaged", "damaged", NULL},
    [TALLY_INCONSISTENT] = {"inconsistent", "inconsistent", NULL},
    [TALLY_UNKNOWN] = {"unknown", "unknown", NULL},
    [TALLY_BEING_WRITTEN] = {"being_written", "being written", NULL},
    [TALLY_INTERRUPTED] = {"interrupted", "interrupted drafts", "interrupted draft"},
    [TALLY_TEMPORARY] = {"temporary", "not now", NULL},
    [TALLY_NOT_REACHED] = {"not_reached", "not reached", NULL},
    [TALLY_INVALID] = {"invalid", "not checked", NULL},
};
_Static_assert(SS_ARRAY_SIZE(parts) == TALLY_PARTS, "each part has its words");

static enum tally_part part_of_class(enum ss_class class)
{
    switch (class) {
    case SS_CLASS_INTACT:
        break;
    case SS_CLASS_DAMAGED:
        return TALLY_DAMAGED;
    case SS_CLASS_INVALID:
        return TALLY_INVALID;
    case SS_CLASS_TEMPORARY:
        return TALLY_TEMPORARY;
    case SS_CLASS_UNKNOWN:
        return TALLY_UNKNOWN;
    case SS_CLASS_INCONSISTENT:
        return TALLY_INCONSISTENT;
    }
    return TALLY_WHOLE;
}

enum tally_part tally_part(const struct ss_check *check, bool listed)
{
    enum ss_class class = ss_finding_text(check->why.finding)->class;

    switch (check->why.finding) {
    case SS_DRAFT_IN_PROGRESS:
    case SS_DRAFT_WAITING:
        return TALLY_BEING_WRITTEN;
    case SS_NOT_REACHED:
        return TALLY_NOT_REACHED;
    case SS_COMPLETE:
        return TALLY_COMPLETE;
    default:
        break;
    }
    if (check->draft && listed && (class == SS_CLASS_DAMAGED || class == SS_CLASS_UNKNOWN))
        return TALLY_INTERRUPTED;
    if (class == SS_CLASS_INTACT && !check->content)
        return TALLY_HEADER_INTACT;
    return part_of_class(class);
}

void tally_add(struct tally *tally, const struct ss_check *check, bool listed)
{
    enum tally_part part = tally_part(check, listed);

    tally->count[part]++;
    if (part != TALLY_INTERRUPTED)
        tally->worst = ss_class_worse(tally->worst, ss_finding_text(check->why.finding)->class);
}

const char *tally_key(enum tally_part part)
{
    return parts[part].key;
}

char *tally_text(const struct tally *tally, bool bitmaps)
{
    size_t whole = tally->count[TALLY_WHOLE];
    char *text = report_format("%zu %s%s %s", whole, bitmaps ? "bitmap" : "image", whole == 1 ? "" : "s",
                               bitmaps ? "good" : "whole");

    for (unsigned part = TALLY_WHOLE + 1; part < TALLY_PARTS; part++) {
        size_t count = tally->count[part];
        if (count == 0)
            continue;
        SS_AUTO_FREE char *before = text;
        text = report_format("%s, %zu %s", before, count,
                             count == 1 && parts[part].word ? parts[part].word : parts[part].words);
    }
    return text;
}
