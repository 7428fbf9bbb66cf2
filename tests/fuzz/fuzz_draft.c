/* Any bytes as a draft's record, which anybody who may write to a file can put there. What was read can be written, and
 * reads as the same again; keys that are not known stay. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_fill(const uint8_t *data, size_t size, const struct ss_draft_record *record)
{
    struct ss_record line;
    char text[SS_RECORD_MAX];
    struct ss_draft_record again;

    require(ss_record_decode(data, size, &line) == 0);
    if (ss_draft_fill(&line, record) < 0)
        return; /* no room */
    ssize_t len = ss_record_encode(&line, text, sizeof text);
    require(len > 0 || len == -E2BIG);
    if (len > 0)
        require(ss_draft_decode(text, (size_t)len, &again) == 0 && strcmp(again.target, record->target) == 0 &&
                again.state == record->state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ss_draft_record record, again;
    char line[SS_RECORD_MAX], twice[SS_RECORD_MAX];

    if (ss_draft_decode(data, size, &record) < 0)
        return 0;
    require(record.target[0] != '\0' && !strchr(record.target, '/') && !ss_draft_reserved(record.target));
    require(ss_finding_text(ss_draft_reason(&record)) != NULL);
    ssize_t len = ss_draft_encode(&record, line, sizeof line);
    if (len == -E2BIG)
        return 0;
    require(len > 0 && ss_draft_decode(line, (size_t)len, &again) == 0);
    require(ss_draft_encode(&again, twice, sizeof twice) == len && memcmp(line, twice, (size_t)len) == 0);
    check_fill(data, size, &record);
    return 0;
}
