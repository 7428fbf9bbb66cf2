#include "record.h"

#include <errno.h>
#include <string.h>

#include "utc.h"

#define NAME "saveseal/"
#define HEAD NAME "1"
#define HEAD_LEN (sizeof HEAD - 1)

/* Every record can be encoded: set and decode see to it. So text is never more than half full between two calls
 * (a field needs at most as many bytes in it as in the line), and a new value fits in before the old one goes. */
_Static_assert(sizeof((struct ss_record *)0)->text >= (size_t)2 * SS_RECORD_MAX, "room for two lines");
_Static_assert(sizeof((struct ss_record *)0)->text <= UINT16_MAX, "offsets have 16 bits");

static const char hex_digits[] = "0123456789ABCDEF";

static bool is_key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True for a byte that stands for itself in a value. */
static bool is_plain(char c)
{
    return c > 0x20 && c < 0x7f && c != '%' && c != '=';
}

/* Length of the key that text starts with, at most SS_RECORD_KEY_MAX; 0 when there is none or it is longer. */
static size_t key_span(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && is_key_byte(text[n]))
        n++;
    return n <= SS_RECORD_KEY_MAX ? n : 0;
}

static size_t encoded_len(const char *value)
{
    size_t len = 0;

    for (; *value; value++)
        len += is_plain(*value) ? 1 : 3;
    return len;
}

static const char *key_at(const struct ss_record *record, size_t index)
{
    return record->text + record->field[index].key;
}

static const char *value_at(const struct ss_record *record, size_t index)
{
    return record->text + record->field[index].value;
}

/* What a field adds to the line. */
static size_t field_len(const char *key, const char *value)
{
    return 1 + strlen(key) + 1 + encoded_len(value);
}

/* Index of the field, or count. */
static size_t find(const struct ss_record *record, const char *key)
{
    size_t i = 0;

    while (i < record->count && strcmp(key_at(record, i), key) != 0)
        i++;
    return i;
}

/* Puts a string of len bytes at the end of text, where the caller knows that there is room. Returns its offset. */
static uint16_t append(struct ss_record *record, const char *string, size_t len)
{
    size_t at = record->used;

    memcpy(record->text + at, string, len);
    record->text[at + len] = '\0';
    record->used += len + 1;
    return (uint16_t)at;
}

/* Takes the string at an offset out of text and moves what follows down. */
static void cut(struct ss_record *record, uint16_t at)
{
    uint16_t size = (uint16_t)(strlen(record->text + at) + 1);

    memmove(record->text + at, record->text + at + size, record->used - at - size);
    record->used -= size;
    for (size_t i = 0; i < record->count; i++) {
        if (record->field[i].key > at)
            record->field[i].key = (uint16_t)(record->field[i].key - size);
        if (record->field[i].value > at)
            record->field[i].value = (uint16_t)(record->field[i].value - size);
    }
}

void ss_record_init(struct ss_record *record)
{
    record->count = 0;
    record->used = 0;
    record->line = HEAD_LEN;
}

/* ---- decoding ---- */

struct cursor {
    const char *at, *end;
};

static size_t left(const struct cursor *in)
{
    return (size_t)(in->end - in->at);
}

static int decode_version(struct cursor *in)
{
    if (left(in) < sizeof NAME - 1 || memcmp(in->at, NAME, sizeof NAME - 1) != 0)
        return -EBADMSG;
    in->at += sizeof NAME - 1;

    const char *number = in->at;
    while (left(in) > 0 && is_digit(*in->at))
        in->at++;
    if (in->at == number || *number == '0' || (left(in) > 0 && *in->at != ' '))
        return -EBADMSG;
    return in->at - number == 1 && *number == '1' ? 0 : -EPROTONOSUPPORT;
}

/* The byte that the escape XX stands for, or 0 when there is no such escape. */
static char unescape(const struct cursor *in)
{
    if (left(in) < 2 || in->at[0] == '\0' || in->at[1] == '\0')
        return '\0';
    const char *high = strchr(hex_digits, in->at[0]);
    const char *low = strchr(hex_digits, in->at[1]);
    if (!high || !low)
        return '\0';
    char c = (char)((high - hex_digits) << 4 | (low - hex_digits));
    if (is_plain(c))
        return '\0';
    return c;
}

static int decode_value(struct cursor *in, struct ss_record *record)
{
    for (; left(in) > 0 && *in->at != ' '; in->at++) {
        char c = *in->at;
        if (c == '%') {
            in->at++;
            c = unescape(in);
            if (c == '\0')
                return -EBADMSG;
            in->at++;
        } else if (!is_plain(c)) {
            return -EBADMSG;
        }
        record->text[record->used++] = c;
    }
    record->text[record->used++] = '\0';
    return 0;
}

/* Reads " KEY=VALUE". */
static int decode_field(struct cursor *in, struct ss_record *record)
{
    in->at++;
    size_t len = key_span(in->at, left(in));
    if (len == 0 || len == left(in) || in->at[len] != '=')
        return -EBADMSG;
    if (record->count == SS_RECORD_FIELDS_MAX)
        return -E2BIG;

    uint16_t key = append(record, in->at, len);
    if (ss_record_get(record, record->text + key))
        return -EBADMSG;
    in->at += len + 1;
    record->field[record->count].key = key;
    record->field[record->count].value = (uint16_t)record->used;
    record->count++;
    return decode_value(in, record);
}

int ss_record_decode(const void *bytes, size_t len, struct ss_record *record)
{
    struct cursor in = {.at = bytes, .end = (const char *)bytes + len};
    struct ss_record decoded;

    int err = decode_version(&in);
    if (err == 0 && len > SS_RECORD_MAX)
        err = -E2BIG;
    ss_record_init(&decoded);
    while (err == 0 && left(&in) > 0)
        err = decode_field(&in, &decoded);
    if (err < 0)
        return err;

    record->count = decoded.count;
    record->used = decoded.used;
    record->line = len; /* there is one way to write a line */
    memcpy(record->field, decoded.field, decoded.count * sizeof decoded.field[0]);
    memcpy(record->text, decoded.text, decoded.used);
    return 0;
}

/* ---- encoding ---- */

static char *put(char *to, const char *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

static char *put_value(char *to, const char *value)
{
    for (; *value; value++) {
        if (is_plain(*value)) {
            *to++ = *value;
        } else {
            *to++ = '%';
            *to++ = hex_digits[(unsigned char)*value >> 4];
            *to++ = hex_digits[(unsigned char)*value & 15];
        }
    }
    return to;
}

ssize_t ss_record_encode(const struct ss_record *record, char *buf, size_t size)
{
    if (record->line > size)
        return -E2BIG;

    char *to = put(buf, HEAD, HEAD_LEN);
    for (size_t i = 0; i < record->count; i++) {
        *to++ = ' ';
        to = put(to, key_at(record, i), strlen(key_at(record, i)));
        *to++ = '=';
        to = put_value(to, value_at(record, i));
    }
    return (ssize_t)record->line;
}

/* ---- fields ---- */

const char *ss_record_get(const struct ss_record *record, const char *key)
{
    size_t index = find(record, key);

    return index < record->count ? value_at(record, index) : NULL;
}

int ss_record_set(struct ss_record *record, const char *key, const char *value)
{
    size_t key_len = strlen(key);
    size_t index = find(record, key);
    bool added = index == record->count;
    size_t len = record->line + (added ? field_len(key, value) : encoded_len(value));

    if (key_len == 0 || key_span(key, key_len) != key_len)
        return -EINVAL;
    if (!added)
        len -= encoded_len(value_at(record, index));
    if (len > SS_RECORD_MAX || (added && record->count == SS_RECORD_FIELDS_MAX))
        return -E2BIG;

    if (added) {
        record->field[index].key = append(record, key, key_len);
        record->field[index].value = append(record, value, strlen(value));
        record->count++;
    } else {
        uint16_t old = record->field[index].value;
        record->field[index].value = append(record, value, strlen(value));
        cut(record, old);
    }
    record->line = len;
    return 0;
}

void ss_record_unset(struct ss_record *record, const char *key)
{
    size_t index = find(record, key);
    if (index == record->count)
        return;

    record->line -= field_len(key, value_at(record, index));
    cut(record, record->field[index].value);
    cut(record, record->field[index].key);
    record->count--;
    memmove(&record->field[index], &record->field[index + 1], (record->count - index) * sizeof record->field[0]);
}

int ss_record_set_u64(struct ss_record *record, const char *key, uint64_t value)
{
    char text[21]; /* 20 digits and a NUL */
    char *at = text + sizeof text - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return ss_record_set(record, key, at);
}

int ss_record_get_u64(const struct ss_record *record, const char *key, uint64_t *value)
{
    const char *text = ss_record_get(record, key);
    uint64_t number = 0;

    if (!text)
        return -ENODATA;
    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return -EBADMSG;
    for (; *text; text++) {
        if (!is_digit(*text) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            return -EBADMSG;
    }
    *value = number;
    return 0;
}

int ss_record_set_time(struct ss_record *record, const char *key, time_t value)
{
    char text[SS_UTC_SIZE];

    int err = ss_utc_format(value, text);
    return err < 0 ? err : ss_record_set(record, key, text);
}

int ss_record_get_time(const struct ss_record *record, const char *key, time_t *value)
{
    const char *text = ss_record_get(record, key);

    return text ? ss_utc_parse(text, value) : -ENODATA;
}
