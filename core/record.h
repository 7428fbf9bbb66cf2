/* The text line that an extended attribute holds: "saveseal/1 key=value key=value ...".
 *
 * One codec for seals and drafts. Strict and bounded: what it does not understand exactly it refuses, except
 * unknown keys, which are kept so that a newer version's facts survive an older version's edit. Pure functions over
 * bytes; any function may be called from any thread as long as no two use the same record at once. */
#ifndef SAVESEAL_CORE_RECORD_H
#define SAVESEAL_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define SS_RECORD_MAX 4000      /* bytes of one encoded line: fits an ext4 xattr block with room for its header */
#define SS_RECORD_FIELDS_MAX 32 /* fields in one line */
#define SS_RECORD_KEY_MAX 31    /* bytes of one key, [a-z0-9-] */

/* A decoded line. Keys and values are NUL-terminated strings inside text. Values hold any bytes but NUL.
 * Treat the members as private. */
struct ss_record {
    size_t count;
    size_t used; /* bytes of text in use */
    size_t line; /* bytes of the encoded line */
    struct {
        uint16_t key, value; /* offsets into text */
    } field[SS_RECORD_FIELDS_MAX];
    char text[2 * SS_RECORD_MAX];
};

/* Makes an empty record. */
void ss_record_init(struct ss_record *record);

/* Decodes len bytes. In the encoded line a field is KEY '=' VALUE, fields are parted by one space, and in a value
 * every byte outside 0x21..0x7e and the two bytes '%' and '=' stand as %XX (upper-case hex).
 * Returns 0; -EPROTONOSUPPORT when the line is of another major version, 2 or more (nothing else of it was read);
 * -EBADMSG when it is malformed (a key twice, an empty key, a stray escape, an escape that need not be, NUL);
 * -E2BIG over SS_RECORD_MAX or SS_RECORD_FIELDS_MAX. record is written only on success. */
int ss_record_decode(const void *bytes, size_t len, struct ss_record *record);

/* Encodes into buf (no NUL is added). Returns the length, or -E2BIG when it would pass size.
 * SS_RECORD_MAX is always enough. */
ssize_t ss_record_encode(const struct ss_record *record, char *buf, size_t size);

/* The value of key, or NULL. The pointer is good until the record changes. */
const char *ss_record_get(const struct ss_record *record, const char *key);

/* Sets key to value, replacing it in place of order or adding it at the end. value may point into the record.
 * Returns 0, -EINVAL for a bad key, -E2BIG when the encoded line would pass SS_RECORD_MAX or there would be more than
 * SS_RECORD_FIELDS_MAX fields; on error the record is unchanged. */
int ss_record_set(struct ss_record *record, const char *key, const char *value);
int ss_record_set_u64(struct ss_record *record, const char *key, uint64_t value);

/* Removes key if it is there. */
void ss_record_unset(struct ss_record *record, const char *key);

/* Reads a decimal number (no sign, no leading zero but "0" itself, no overflow).
 * Returns 0, -ENODATA when the key is absent, -EBADMSG when the value is not such a number. */
int ss_record_get_u64(const struct ss_record *record, const char *key, uint64_t *value);

/* A moment of UTC as YYYY-MM-DDTHH:MM:SSZ, from 1970 to the end of 9999; nothing else is read or written.
 * set: as ss_record_set, and -EINVAL outside that time. get: as ss_record_get_u64. */
int ss_record_set_time(struct ss_record *record, const char *key, time_t value);
int ss_record_get_time(const struct ss_record *record, const char *key, time_t *value);

#endif
