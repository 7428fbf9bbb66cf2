#include "manifest.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/util.h"

#define HEX_LEN (SS_SHA256_HEX_SIZE - 1)
#define KEY_MANIFEST "manifest" /* the first line's */
#define VERSION "1"
#define KEY_END "manifest-end" /* the last line's */
#define KEY_SHA256 "sha256"
#define KEY_SIZE "size"
#define KEY_VERITY "verity-sha256"
#define COMMENT "# "
#define COMMENT_OURS "# saveseal/"

/* A manifest that is being read. */
struct reading {
    struct ss_manifest *manifest;
    bool ours;     /* between our first line and the last one */
    size_t since;  /* entries since the first one */
    bool has_next; /* a comment has told of the entry that follows: */
    struct ss_reference next;
};

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

static bool begins_with(const char *bytes, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

/* Our first line, with its version. */
static int decode_head(const char *version, struct reading *reading)
{
    if (reading->ours) /* another was cut, and this one comes after it */
        return -ENODATA;
    reading->ours = true;
    reading->since = 0;
    return strcmp(version, VERSION) == 0 ? 0 : -EPROTONOSUPPORT;
}

static int decode_end(const struct ss_record *record, struct reading *reading)
{
    uint64_t count;

    if (!reading->ours || ss_record_get_u64(record, KEY_END, &count) < 0)
        return -EBADMSG;
    reading->ours = false;
    return count == reading->since ? 0 : -ENODATA;
}

/* What is told of the entry that follows. */
static int decode_details(const struct ss_record *record, struct reading *reading)
{
    const char *sha256 = ss_record_get(record, KEY_SHA256), *verity = ss_record_get(record, KEY_VERITY);
    struct ss_reference *next = &reading->next;

    *next = (struct ss_reference){.has_size = false};
    if (!sha256 || ss_sha256_parse(sha256, &next->sha256) < 0)
        return -EBADMSG;
    if (verity && ss_sha256_parse(verity, &next->verity) < 0)
        return -EBADMSG;
    next->has_verity = verity != NULL;
    int r = ss_record_get_u64(record, KEY_SIZE, &next->size);
    next->has_size = r == 0;
    reading->has_next = true;
    return r == -EBADMSG ? r : 0;
}

static int decode_comment(const char *bytes, size_t len, struct reading *reading)
{
    struct ss_record record;

    int r = ss_record_decode(bytes + strlen(COMMENT), len - strlen(COMMENT), &record);
    if (r == -EPROTONOSUPPORT)
        return 0; /* what a newer version has to say; the plain lines hold all the same */
    if (r < 0 || record.count == 0 || reading->has_next)
        return -EBADMSG;
    const char *version = ss_record_get(&record, KEY_MANIFEST);
    if (version)
        return decode_head(version, reading);
    if (ss_record_get(&record, KEY_END))
        return decode_end(&record, reading);
    if (ss_record_get(&record, KEY_SHA256) || ss_record_get(&record, KEY_SIZE) || ss_record_get(&record, KEY_VERITY))
        return decode_details(&record, reading);
    return 0;
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

/* Takes over what the comment before it has told, if it was about this line. */
static int add_details(struct reading *reading, struct ss_manifest_entry *entry)
{
    struct ss_reference *next = &reading->next;

    if (!reading->has_next)
        return 0;
    reading->has_next = false;
    if (!ss_sha256_equal(&next->sha256, &entry->is.sha256))
        return -EBADMSG;
    next->has_sha256 = true;
    entry->is = *next;
    return 0;
}

static int decode_line(const char *bytes, size_t len, size_t line, struct reading *reading)
{
    struct ss_manifest *manifest = reading->manifest;
    struct ss_manifest_entry entry = {.line = line};

    if (begins_with(bytes, len, COMMENT_OURS))
        return decode_comment(bytes, len, reading);
    if (len == 0 || bytes[0] == '#')
        return 0;
    int r = grow(manifest);
    if (r == 0)
        r = decode_entry(bytes, len, &entry);
    if (r < 0)
        return r;
    manifest->entry[manifest->count++] = entry;
    reading->since++;
    return add_details(reading, &manifest->entry[manifest->count - 1]);
}

/* ---- what a file is, by its beginning ---- */

/* Passes over comments that are not ours, and empty lines. The rest of the first line that tells. */
static const char *first_line(const char *bytes, size_t *len)
{
    const char *line = bytes, *end = bytes + *len;

    while (line < end && (*line == '\n' || *line == '#') && !begins_with(line, (size_t)(end - line), COMMENT_OURS)) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        line = newline ? newline + 1 : end;
    }
    const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    *len = (size_t)((newline ? newline : end) - line);
    return line;
}

/* How many hexadecimal digits a line begins with, if a list of digests goes on as this one does; else 0. */
static size_t digest_digits(const char *line, size_t len)
{
    size_t start = len > 0 && line[0] == '\\' ? 1 : 0, digits = 0;

    while (start + digits < len && isxdigit((unsigned char)line[start + digits]))
        digits++;
    const char *rest = line + start + digits;
    return len - start - digits >= 3 && rest[0] == ' ' && (rest[1] == ' ' || rest[1] == '*') ? digits : 0;
}

bool ss_manifest_probe(const char *bytes, size_t len)
{
    const char *line = first_line(bytes, &len);

    return begins_with(line, len, COMMENT_OURS) || digest_digits(line, len) == HEX_LEN;
}

bool ss_manifest_is_foreign(const char *bytes, size_t len)
{
    static const char *const tags[] = {"MD5 (", "SHA1 (", "SHA224 (", "SHA256 (", "SHA384 (", "SHA512 (", "BLAKE2b ("};
    const char *line = first_line(bytes, &len);

    for (size_t i = 0; i < SS_ARRAY_SIZE(tags); i++)
        if (begins_with(line, len, tags[i]))
            return true;
    switch (digest_digits(line, len)) { /* of MD5, SHA-1, SHA-224, SHA-384 and SHA-512 */
    case 32:
    case 40:
    case 56:
    case 96:
    case 128:
        return true;
    default:
        return false;
    }
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
    struct reading reading = {.manifest = manifest};

    for (*line = 1; len > 0; ++*line) {
        const char *newline = memchr(bytes, '\n', len);
        size_t used = newline ? (size_t)(newline - bytes) : len;
        int r = decode_line(bytes, used, *line, &reading);
        if (r < 0)
            return r;
        used += newline ? 1 : 0;
        bytes += used;
        len -= used;
    }
    return reading.ours || reading.has_next ? -ENODATA : sort(manifest, line);
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

/* Is it below the directory of that name, without the slash? "" is the current one, and "/" the root. */
static bool is_below(const char *name, const char *dir, size_t len)
{
    if (len == 0)
        return *name && name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0;
    return strncmp(name, dir, len) == 0 && (dir[len - 1] == '/' || name[len] == '/') && name[len + (name[len] == '/')];
}

/* The first entry whose name is not before. */
static size_t lower_bound(const struct ss_manifest *manifest, const char *name)
{
    size_t low = 0, high = manifest->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(manifest->entry[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int ss_manifest_below(const struct ss_manifest *manifest, const char *dir,
                      int (*each)(void *context, const struct ss_manifest_entry *entry), void *context)
{
    SS_AUTO_FREE char *normal = strdup(dir);
    int r = 0;

    if (!normal)
        return -ENOMEM;
    normalize(normal);
    size_t len = strlen(normal);
    /* Names that begin with the directory's stand together. */
    for (size_t i = lower_bound(manifest, normal); r == 0 && i < manifest->count; i++) {
        const struct ss_manifest_entry *entry = &manifest->entry[i];
        if (strncmp(entry->name, normal, len) != 0)
            break;
        if (is_below(entry->name, normal, len))
            r = each(context, entry);
    }
    return r;
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
    int n = asprintf(&lines, "# saveseal/1 " KEY_SHA256 "=%s " KEY_SIZE "=%" PRIu64 " " KEY_VERITY "=%s\n%s%s  %s\n",
                     hex, is->size, verity, to - escaped > (ptrdiff_t)strlen(name) ? "\\" : "", hex, escaped);
    return n < 0 ? NULL : lines;
}

void ss_manifest_end(size_t count, char line[SS_MANIFEST_END_SIZE])
{
    snprintf(line, SS_MANIFEST_END_SIZE, "# saveseal/1 " KEY_END "=%zu\n", count);
}
