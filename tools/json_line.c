#include "json_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/quote.h"
#include "core/util.h"
#include "text.h"

json_t *json_line_object(void)
{
    return report_must(json_object());
}

void json_line_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, report_must(value)) < 0)
        report_must(NULL);
}

/* The bytes with U+FFFD for what is not UTF-8. */
static char *replaced(const char *bytes)
{
    char *text = report_must(malloc(3 * strlen(bytes) + 1)), *at = text;
    uint32_t code;

    for (size_t len; *bytes; bytes += len) {
        len = ss_utf8(bytes, &code);
        if (len > 0) {
            memcpy(at, bytes, len);
            at += len;
        } else {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            len = 1;
        }
    }
    *at = '\0';
    return text;
}

static void put_hex(json_t *object, const char *key, const char *bytes)
{
    SS_AUTO_FREE char *name = report_format("%s_hex", key);
    SS_AUTO_FREE char *hex = report_must(malloc(2 * strlen(bytes) + 1));

    hex[0] = '\0';
    for (size_t i = 0; bytes[i]; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    json_line_put(object, name, json_string(hex));
}

void json_line_text(json_t *object, const char *key, const char *bytes)
{
    SS_AUTO_FREE char *text = replaced(bytes);

    json_line_put(object, key, json_string(text));
    if (strcmp(text, bytes) != 0)
        put_hex(object, key, bytes);
}

json_t *json_line_file(const char *path, const char *kind)
{
    json_t *object = json_line_object();

    json_line_text(object, "path", path);
    json_line_text(object, "kind", kind);
    return object;
}

void json_line_number(json_t *object, const char *key, uint64_t value)
{
    /* No file is that long; a number that someone wrote by hand into an attribute may be. */
    json_line_put(object, key, json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

void json_line_signed(json_t *object, const char *key, int64_t value)
{
    json_line_put(object, key, json_integer((json_int_t)value));
}

void json_line_bool(json_t *object, const char *key, bool value)
{
    json_line_put(object, key, json_boolean(value));
}

void json_line_time(json_t *object, const char *key, time_t when)
{
    char buf[TEXT_TIME_MAX];

    text_time(when, buf);
    json_line_put(object, key, json_string(buf));
}

void json_line_null(json_t *object, const char *key)
{
    json_line_put(object, key, json_null());
}

void json_line_judgement(json_t *object, const struct ss_judgement *judgement)
{
    const struct ss_finding_text *text = ss_finding_text(judgement->finding);

    json_line_text(object, "finding", text->id);
    json_line_text(object, "class", ss_class_name(text->class));
    json_line_number(object, "exit", (uint64_t)text->class);
    json_line_text(object, "sentence", text->sentence);
    json_line_text(object, "advice", text->advice);
    if (*judgement->detail)
        json_line_text(object, "detail", judgement->detail);
}

void json_line_print(json_t *object)
{
    /* ASCII only: the line then is right in every locale and can not act on a terminal. */
    SS_AUTO_FREE char *line = report_must(json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER));

    puts(line);
    json_decref(object);
}
