#include "manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/util.h"

#define HEX_LEN (SS_SHA256_HEX_SIZE - 1)
#define KEY_SIZE "size"
#define KEY_VERITY "verity-sha256"
#define COMMENT "# "
#define COMMENT_OURS "# saveseal/"

/* ---- names ---- */

/* Takes "." and doubled slashes away, in place. */
static void normalize(char *name)
{
    char *to = name + (name[0] == '/');
    const char *const start = to;

    for (const char *from = to; *from;) {
        size_t len = strcspn(from, "/");
        if (len > 0 && !(len == 1 && *from == '.')) {
            if (to != start)
                *to++ = '/';
            memmove(to, from, len);
            to += len;
        }
        from += len + (from[len] == '/');
    }
    *to = '\0';
}

/* Undoes the escapes of a name of len bytes, in place. False for an escape that is none. */
static bool unescape(char *name, size_t *len)
{
    size_t to = 0;

    for (size_t from = 0; from < *len; from++) {
        char c = name[from];
        if (c == '\\') {
            if (++from == *len)
                return false;
            c = name[from] == '\\' ? '\\' : name[from] == 'n' ? '\n' : name[from] == 'r' ? '\r' : '\0';
            if (!c)
                return false;
        }
        name[to++] = c;
    }
    *len = to;
    return true;
}

/* ---- lines ---- */

static int parse_hex(const char *text, struct ss_sha256 *digest)
{
    char hex[SS_SHA256_HEX_SIZE] = "";

    memcpy(hex, text, HEX_LEN);
    return ss_sha256_parse(hex, digest);
}

/* "[\]HEX  NAME", the second blank being a star for some. is->sha256 and name are set; the rest of is stays. */
static int decode_entry(const char *bytes, size_t len, struct ss_manifest_entry *entry)
{
    bool escaped = len > 0 && bytes[0] == '\\';
    size_t start = escaped ? 1 : 0;

    if (len < start + HEX_LEN + 3 || bytes[start + HEX_LEN] != ' ' ||
        (bytes[start + HEX_LEN + 1] != ' ' && bytes[start + HEX_LEN + 1] != '*') || memchr(bytes, '\0', len) ||
        parse_hex(bytes + start, &entry->is.sha256) < 0)
        return -EBADMSG;
    entry->is.has_sha256 = true;
    start += HEX_LEN + 2;
    len -= start;
    char *name = strndup(bytes + start, len);
    if (!name)
        return -ENOMEM;
    if (escaped && !unescape(name, &len)) {
        free(name);
        return -EBADMSG;
    }
    name[len] = '\0';
    normalize(name);
    entry->name = name;
    return 0;
}

/* A comment of ours tells more of the entry that follows. */
static int decode_comment(const char *bytes, size_t len, struct ss_reference *next)
{
    struct ss_record record;

    int r = ss_record_decode(bytes + strlen(COMMENT), len - strlen(COMMENT), &record);
    if (r == -EPROTONOSUPPORT)
        return 0; /* what a newer version has to say; the plain lines hold all the same */
    if (r < 0)
        return -EBADMSG;
    *next = (struct ss_reference){.has_size = false};
    const char *verity = ss_record_get(&record, KEY_VERITY);
    if (verity && ss_sha256_parse(verity, &next->verity) < 0)
        return -EBADMSG;
    next->has_verity = verity != NULL;
    r = ss_record_get_u64(&record, KEY_SIZE, &next->size);
    next->has_size = r == 0;
    return r == -EBADMSG ? r : 0;
}

static bool begins_with(const char *bytes, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

/* Makes room for one more: powers of two, so that the count tells when there is none. */
static int grow(struct ss_manifest *manifest)
{
    if (manifest->count & (manifest->count - 1))
        return 0;
    size_t room = manifest->count ? 2 * manifest->count : 1;
    struct ss_manifest_entry *more = reallocarray(manifest->entry, room, sizeof *more);
    if (!more)
        return -ENOMEM;
    manifest->entry = more;
    return 0;
}

static int decode_line(const char *bytes, size_t len, size_t line, struct ss_reference *next,
                       struct ss_manifest *manifest)
{
    if (begins_with(bytes, len, COMMENT_OURS))
        return decode_comment(bytes, len, next);
    if (len == 0 || bytes[0] == '#')
        return 0;
    struct ss_manifest_entry entry = {.line = line, .is = *next};
    int r = grow(manifest);
    if (r == 0)
        r = decode_entry(bytes, len, &entry);
    if (r == 0)
        manifest->entry[manifest->count++] = entry;
    *next = (struct ss_reference){.has_size = false};
    return r;
}

bool ss_manifest_probe(const char *bytes, size_t len)
{
    struct ss_manifest_entry entry = {.line = 1};

    if (begins_with(bytes, len, COMMENT_OURS))
        return true;
    const char *newline = memchr(bytes, '\n', len);
    if (decode_entry(bytes, newline ? (size_t)(newline - bytes) : len, &entry) < 0)
        return false;
    free(entry.name);
    return true;
}

/* ---- the whole ---- */

static int by_name(const void *a, const void *b)
{
    const struct ss_manifest_entry *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order ? order : (left->line > right->line) - (left->line < right->line);
}

static bool same_file(const struct ss_reference *a, const struct ss_reference *b)
{
    return ss_sha256_equal(&a->sha256, &b->sha256) && (!a->has_size || !b->has_size || a->size == b->size) &&
           (!a->has_verity || !b->has_verity || ss_sha256_equal(&a->verity, &b->verity));
}

/* Sorts, and drops repetitions. Returns 0; or -EBADMSG with the line that contradicts one before it. */
static int sort(struct ss_manifest *manifest, size_t *line)
{
    size_t kept = 0;

    if (manifest->count > 0)
        qsort(manifest->entry, manifest->count, sizeof *manifest->entry, by_name);
    for (size_t i = 0; i < manifest->count; i++) {
        struct ss_manifest_entry *entry = &manifest->entry[i], *last = kept ? &manifest->entry[kept - 1] : NULL;
        bool again = last && strcmp(entry->name, last->name) == 0;
        if (again && !same_file(&entry->is, &last->is)) {
            *line = entry->line;
            memmove(&manifest->entry[kept], entry, (manifest->count - i) * sizeof *entry);
            manifest->count -= i - kept;
            return -EBADMSG;
        }
        if (again)
            free(entry->name);
        else
            manifest->entry[kept++] = *entry;
    }
    manifest->count = kept;
    return 0;
}

static int decode_lines(const char *bytes, size_t len, struct ss_manifest *manifest, size_t *line)
{
    struct ss_reference next = {.has_size = false};

    for (*line = 1; len > 0; ++*line) {
        const char *newline = memchr(bytes, '\n', len);
        size_t used = newline ? (size_t)(newline - bytes) : len;
        int r = decode_line(bytes, used, *line, &next, manifest);
        if (r < 0)
            return r;
        used += newline ? 1 : 0;
        bytes += used;
        len -= used;
    }
    return sort(manifest, line);
}

int ss_manifest_decode(const char *bytes, size_t len, struct ss_manifest *manifest, size_t *line)
{
    struct ss_manifest read = {.count = 0};

    int r = decode_lines(bytes, len, &read, line);
    if (r < 0)
        ss_manifest_free(&read);
    else
        *manifest = read;
    return r;
}

const struct ss_manifest_entry *ss_manifest_find(const struct ss_manifest *manifest, const char *name, int *error)
{
    SS_AUTO_FREE char *normal = strdup(name);
    size_t low = 0, high = manifest->count;

    *error = normal ? 0 : -ENOMEM;
    if (!normal)
        return NULL;
    normalize(normal);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(normal, manifest->entry[middle].name);
        if (order == 0)
            return &manifest->entry[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void ss_manifest_free(struct ss_manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++)
        free(manifest->entry[i].name);
    free(manifest->entry);
    *manifest = (struct ss_manifest){.count = 0};
}

char *ss_manifest_lines(const char *name, const struct ss_reference *is)
{
    char hex[SS_SHA256_HEX_SIZE], verity[SS_SHA256_HEX_SIZE], *lines;
    SS_AUTO_FREE char *escaped = malloc(2 * strlen(name) + 1);
    char *to = escaped;

    if (!escaped)
        return NULL;
    for (const char *from = name; *from; from++) {
        bool escape = *from == '\\' || *from == '\n' || *from == '\r';
        if (escape)
            *to++ = '\\';
        *to++ = *from == '\n' ? 'n' : *from == '\r' ? 'r' : *from;
    }
    *to = '\0';
    ss_sha256_format(&is->sha256, hex);
    ss_sha256_format(&is->verity, verity);
    int n = asprintf(&lines, "# saveseal/1 " KEY_SIZE "=%" PRIu64 " " KEY_VERITY "=%s\n%s%s  %s\n", is->size, verity,
                     to - escaped > (ptrdiff_t)strlen(name) ? "\\" : "", hex, escaped);
    return n < 0 ? NULL : lines;
}
