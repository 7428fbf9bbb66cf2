#include "verify_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_VERSION "verify-state" /* first of the first line */
#define VERSION "1"
#define KEY_MODE "mode"
#define KEY_AGAINST "against"
#define KEY_FINISHED "finished"
#define KEY_FINDING "finding"
#define KEY_CHECKED "checked"
#define KEY_STAMP "stamp"
#define KEY_PATH "path"

static const char magic[] = "saveseal/1 " KEY_VERSION "=";

uint64_t ss_verify_fs(const struct statfs *fs)
{
    uint64_t id = 0;

    _Static_assert(sizeof fs->f_fsid == sizeof id, "two integers");
    memcpy(&id, &fs->f_fsid, sizeof id);
    return id;
}

void ss_verify_stamp(const struct stat *st, uint64_t fs, char stamp[SS_VERIFY_STAMP_SIZE])
{
    snprintf(stamp, SS_VERIFY_STAMP_SIZE,
             "%s-%" PRIx64 ":%" PRIdMAX ":%" PRIuMAX ":%" PRIdMAX ".%09ld:%" PRIdMAX ".%09ld", fs ? "fs" : "dev",
             fs ? fs : (uint64_t)st->st_dev, (intmax_t)st->st_size, (uintmax_t)st->st_ino, (intmax_t)st->st_mtim.tv_sec,
             st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* ---- reading ---- */

/* "yes" or "no" (or whatever the two words are). */
static int get_choice(const struct ss_record *record, const char *key, const char *yes, const char *no, bool *value)
{
    const char *text = ss_record_get(record, key);

    if (!text || (strcmp(text, yes) != 0 && strcmp(text, no) != 0))
        return -EBADMSG;
    *value = strcmp(text, yes) == 0;
    return 0;
}

static int get_copy(const struct ss_record *record, const char *key, char **copy)
{
    const char *text = ss_record_get(record, key);

    if (!text)
        return -EBADMSG;
    *copy = strdup(text);
    return *copy ? 0 : -ENOMEM;
}

static int decode_head(const struct ss_record *record, struct ss_verify_state *state)
{
    if (strcmp(ss_record_get(record, KEY_VERSION), VERSION) != 0)
        return -EPROTONOSUPPORT;
    int r = get_choice(record, KEY_FINISHED, "yes", "no", &state->finished);
    if (r == 0)
        r = get_copy(record, KEY_MODE, &state->mode);
    if (r == 0)
        r = get_copy(record, KEY_AGAINST, &state->against);
    return r;
}

static int decode_result(const struct ss_record *record, struct ss_verify_result *result)
{
    const char *finding = ss_record_get(record, KEY_FINDING);

    if (!finding || ss_finding_parse(finding, &result->finding) < 0)
        return -EBADMSG;
    int r = get_choice(record, KEY_CHECKED, "content", "header", &result->content);
    if (r == 0)
        r = get_copy(record, KEY_STAMP, &result->stamp);
    if (r == 0)
        r = get_copy(record, KEY_PATH, &result->path);
    return r;
}

/* Makes room for one more, all zero: powers of two, so that the count tells when there is none. */
static int grow(struct ss_verify_state *state)
{
    if ((state->count & (state->count - 1)) == 0) {
        size_t room = state->count ? 2 * state->count : 1;
        struct ss_verify_result *more = reallocarray(state->result, room, sizeof *more);
        if (!more)
            return -ENOMEM;
        state->result = more;
    }
    state->result[state->count] = (struct ss_verify_result){.path = NULL};
    return 0;
}

static int decode_line(const char *bytes, size_t len, bool first, struct ss_verify_state *state)
{
    struct ss_record record;

    int r = ss_record_decode(bytes, len, &record);
    if (r < 0)
        return r == -EPROTONOSUPPORT ? r : -EBADMSG;
    if (first)
        return decode_head(&record, state);
    r = grow(state);
    if (r < 0)
        return r;
    return decode_result(&record, &state->result[state->count++]);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct ss_verify_result *)a)->path, ((const struct ss_verify_result *)b)->path);
}

static int decode_lines(const char *bytes, size_t len, struct ss_verify_state *state, size_t *line)
{
    int r = 0;

    for (*line = 1; r == 0 && len > 0; ++*line) {
        const char *newline = memchr(bytes, '\n', len);
        if (!newline)
            return -EBADMSG; /* cut */
        size_t used = (size_t)(newline - bytes);
        r = decode_line(bytes, used, *line == 1, state);
        if (r < 0)
            return r;
        bytes += used + 1;
        len -= used + 1;
    }
    return r;
}

int ss_verify_state_decode(const char *bytes, size_t len, struct ss_verify_state *state, size_t *line)
{
    struct ss_verify_state read = {.count = 0};

    *line = 1;
    if (len < sizeof magic - 1 || memcmp(bytes, magic, sizeof magic - 1) != 0)
        return -EINVAL;
    int r = decode_lines(bytes, len, &read, line);
    if (r < 0) {
        ss_verify_state_free(&read);
        return r;
    }
    if (read.count > 0)
        qsort(read.result, read.count, sizeof *read.result, by_path);
    *state = read;
    return 0;
}

const struct ss_verify_result *ss_verify_state_find(const struct ss_verify_state *state, const char *path)
{
    size_t low = 0, high = state->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(path, state->result[middle].path);
        if (order == 0)
            return &state->result[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void ss_verify_state_free(struct ss_verify_state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        free(state->result[i].path);
        free(state->result[i].stamp);
    }
    free(state->result);
    free(state->mode);
    free(state->against);
    *state = (struct ss_verify_state){.count = 0};
}

/* ---- writing ---- */

struct field {
    const char *key, *value;
};

static ssize_t encode(const struct field *fields, size_t count, char line[SS_VERIFY_STATE_LINE_MAX])
{
    struct ss_record record;

    ss_record_init(&record);
    for (size_t i = 0; i < count; i++) {
        int r = ss_record_set(&record, fields[i].key, fields[i].value);
        if (r < 0)
            return r;
    }
    ssize_t len = ss_record_encode(&record, line, SS_RECORD_MAX);
    if (len >= 0)
        line[len++] = '\n';
    return len;
}

ssize_t ss_verify_state_encode(const struct ss_verify_state *state, char line[SS_VERIFY_STATE_LINE_MAX])
{
    const struct field fields[] = {
        {KEY_VERSION, VERSION},
        {KEY_MODE, state->mode},
        {KEY_FINISHED, state->finished ? "yes" : "no"},
        {KEY_AGAINST, state->against},
    };

    return encode(fields, sizeof fields / sizeof *fields, line);
}

ssize_t ss_verify_result_encode(const struct ss_verify_result *result, char line[SS_VERIFY_STATE_LINE_MAX])
{
    const struct field fields[] = {
        {KEY_FINDING, ss_finding_text(result->finding)->id},
        {KEY_CHECKED, result->content ? "content" : "header"},
        {KEY_STAMP, result->stamp},
        {KEY_PATH, result->path},
    };

    return encode(fields, sizeof fields / sizeof *fields, line);
}
