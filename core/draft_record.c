/* The text of a draft's record: the codec half of draft.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "draft.h"
#include "util.h"

/* By enum ss_draft_state; stable. */
static const char *const state_names[] = {"writing", "waiting", "prepared", "interrupted"};

/* An empty value is not written: the absent key reads as empty. */
static int set_text(struct ss_record *line, const char *key, const char *value)
{
    if (*value)
        return ss_record_set(line, key, value);
    ss_record_unset(line, key);
    return 0;
}

/* Likewise 0. */
static int set_number(struct ss_record *line, const char *key, uint64_t value)
{
    if (value)
        return ss_record_set_u64(line, key, value);
    ss_record_unset(line, key);
    return 0;
}

int ss_draft_fill(struct ss_record *line, const struct ss_draft_record *record)
{
    bool interrupted = record->state == SS_DRAFT_INTERRUPTED;
    int r = ss_record_set(line, "target", record->target);

    if (r == 0)
        r = ss_record_set(line, "state", state_names[record->state]);
    if (r == 0)
        r = set_text(line, "reason", interrupted ? ss_finding_text(record->reason)->id : "");
    if (r == 0)
        r = set_text(line, "detail", record->detail);
    if (r == 0)
        r = set_text(line, "writer", record->writer);
    if (r == 0)
        r = ss_record_set_u64(line, "pid", (uint64_t)record->pid);
    if (r == 0)
        r = ss_record_set_u64(line, "start", record->start);
    if (r == 0)
        r = set_text(line, "boot", record->boot);
    if (r == 0)
        r = set_text(line, "host", record->host);
    if (r == 0)
        r = ss_record_set_time(line, "opened", record->opened);
    if (r == 0 && interrupted && record->ended > 0)
        r = ss_record_set_time(line, "ended", record->ended);
    if (!interrupted)
        ss_record_unset(line, "ended");
    if (r == 0)
        r = set_text(line, "exclusive", record->exclusive ? "yes" : "");
    if (r == 0)
        r = set_number(line, "base", record->base.ino);
    if (r == 0)
        r = set_number(line, "base-born", record->base.ino ? record->base.born : 0);
    if (r == 0)
        r = set_text(line, "preload", record->preload ? "yes" : "");
    if (r == 0)
        r = set_text(line, "left", record->left ? "yes" : "");
    return r;
}

enum ss_finding ss_draft_reason(const struct ss_draft_record *record)
{
    if (record->state == SS_DRAFT_INTERRUPTED)
        return record->reason;
    if (record->state == SS_DRAFT_WAIT)
        return SS_FORMAT_INCOMPLETE;
    return record->preload ? SS_WRITER_VANISHED : SS_DAEMON_DIED;
}

ssize_t ss_draft_encode(const struct ss_draft_record *record, char *buf, size_t size)
{
    struct ss_record line;

    ss_record_init(&line);
    int r = ss_draft_fill(&line, record);
    return r < 0 ? r : ss_record_encode(&line, buf, size);
}

static int get_text(const struct ss_record *line, const char *key, char *buf, size_t size)
{
    const char *value = ss_record_get(line, key);

    if (!value)
        value = "";
    return (size_t)snprintf(buf, size, "%s", value) < size ? 0 : -EBADMSG;
}

static int get_state(const struct ss_record *line, enum ss_draft_state *state)
{
    const char *value = ss_record_get(line, "state");

    for (size_t i = 0; value && i < SS_ARRAY_SIZE(state_names); i++) {
        if (strcmp(value, state_names[i]) == 0) {
            *state = (enum ss_draft_state)i;
            return 0;
        }
    }
    return -EBADMSG;
}

static int get_reason(const struct ss_record *line, struct ss_draft_record *record)
{
    const char *value = ss_record_get(line, "reason");

    record->reason = SS_CLEAN;
    if (record->state != SS_DRAFT_INTERRUPTED)
        return value ? -EBADMSG : 0;
    return value && ss_finding_parse(value, &record->reason) == 0 ? 0 : -EBADMSG;
}

static int get_number(const struct ss_record *line, const char *key, uint64_t max, uint64_t *value)
{
    int r = ss_record_get_u64(line, key, value);

    if (r < 0)
        return -EBADMSG;
    return *value > max ? -EBADMSG : 0;
}

static int get_flag(const struct ss_record *line, const char *key, bool *value)
{
    const char *text = ss_record_get(line, key);

    *value = text != NULL;
    return !text || strcmp(text, "yes") == 0 ? 0 : -EBADMSG;
}

/* A target is one path component that is not ours: a record must never lead out of its directory. */
static bool target_valid(const char *target)
{
    return *target && !strchr(target, '/') && strcmp(target, ".") != 0 && strcmp(target, "..") != 0 &&
           !ss_draft_reserved(target);
}

int ss_draft_decode(const void *bytes, size_t len, struct ss_draft_record *record)
{
    struct ss_record line;
    struct ss_draft_record found = {0};
    uint64_t pid = 0;

    int r = ss_record_decode(bytes, len, &line);
    if (r < 0)
        return r;
    r = get_text(&line, "target", found.target, sizeof found.target);
    if (r == 0)
        r = target_valid(found.target) ? 0 : -EBADMSG;
    if (r == 0)
        r = get_state(&line, &found.state);
    if (r == 0)
        r = get_reason(&line, &found);
    if (r == 0)
        r = get_text(&line, "detail", found.detail, sizeof found.detail);
    if (r == 0)
        r = get_text(&line, "writer", found.writer, sizeof found.writer);
    if (r == 0)
        r = get_number(&line, "pid", INT32_MAX, &pid);
    if (r == 0)
        r = get_number(&line, "start", UINT64_MAX, &found.start);
    if (r == 0)
        r = get_text(&line, "boot", found.boot, sizeof found.boot);
    if (r == 0)
        r = get_text(&line, "host", found.host, sizeof found.host);
    if (r == 0)
        r = ss_record_get_time(&line, "opened", &found.opened) < 0 ? -EBADMSG : 0;
    if (r == 0 && ss_record_get(&line, "ended"))
        r = ss_record_get_time(&line, "ended", &found.ended) < 0 ? -EBADMSG : 0;
    if (r == 0 && ss_record_get(&line, "base"))
        r = get_number(&line, "base", UINT64_MAX, &found.base.ino);
    if (r == 0 && ss_record_get(&line, "base-born"))
        r = get_number(&line, "base-born", UINT64_MAX, &found.base.born);
    if (r < 0)
        return r;
    r = get_flag(&line, "exclusive", &found.exclusive);
    if (r == 0)
        r = get_flag(&line, "preload", &found.preload);
    if (r == 0)
        r = get_flag(&line, "left", &found.left);
    if (r < 0)
        return r;
    found.pid = (pid_t)pid;
    *record = found;
    return 0;
}
