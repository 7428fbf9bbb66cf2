#include "vmdesc.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "json_part.h"

enum {
    SECTION_FULL = 0x04,
    SECTION_DESCRIPTION = 0x06,
    SECTION_FOOTER = 0x7e,
};

#define FOOTER_LEN ((size_t)5) /* its byte, and the section's number */
#define HEAD_LEN ((size_t)6)   /* of the description: the 0, its byte, be32 length */
#define TRIES_MAX 16           /* descriptions before the end that are parsed to see whether they are one */
#define PAGE_SIZE_MIN 1024
#define PAGE_SIZE_MAX (1 << 20)
#define NAME_LEN_MAX 255
#define DEVICE_NUMBER_LEN 5 /* of a section: its byte, be32 number */

/* ---- the description, a device at a time ---- */

struct head {
    uint32_t instance;
    uint8_t name_len;
};

static int add_head(struct ss_vmdesc *vmdesc, const char *name, size_t len, uint32_t instance)
{
    const struct head head = {.instance = instance, .name_len = (uint8_t)len};

    if (vmdesc->heads_size - vmdesc->heads_len < sizeof head + len) {
        size_t size = vmdesc->heads_size ? vmdesc->heads_size / 2 * 3 : 4096;
        unsigned char *heads = realloc(vmdesc->heads, size);
        if (!heads)
            return -ENOMEM;
        vmdesc->heads = heads;
        vmdesc->heads_size = size;
    }
    memcpy(vmdesc->heads + vmdesc->heads_len, &head, sizeof head);
    memcpy(vmdesc->heads + vmdesc->heads_len + sizeof head, name, len);
    vmdesc->heads_len += sizeof head + len;
    return 0;
}

static int add_device(struct ss_vmdesc *vmdesc, const json_t *device)
{
    const json_t *name = json_object_get(device, "name"), *instance = json_object_get(device, "instance_id");
    size_t len = json_string_length(name);

    vmdesc->devices++;
    if (len == 0 || len > NAME_LEN_MAX || !json_is_integer(instance))
        return 0;
    return add_head(vmdesc, json_string_value(name), len, (uint32_t)json_integer_value(instance));
}

/* Notes why the JSON is none. Returns -EBADMSG. */
static int damaged(struct ss_vmdesc *vmdesc, const struct ss_json_text *json, const char *why)
{
    snprintf(vmdesc->damage, sizeof vmdesc->damage, "%.100s, at its byte %zu", why, json->at);
    return -EBADMSG;
}

/* The next value; NULL with *r: -EBADMSG with the damage noted, or -E2BIG. */
static json_t *take_value(struct ss_vmdesc *vmdesc, struct ss_json_text *json, int *r)
{
    json_error_t error = {.text = ""};
    bool too_large;

    json_t *value = ss_json_value(json, SS_VMDESC_MEMORY, &too_large, &error);
    if (!value && too_large)
        *r = -E2BIG;
    else if (!value)
        *r = damaged(vmdesc, json, error.text);
    return value;
}

/* Each returns 0; -EBADMSG with the damage noted, -E2BIG when a part is too large to be read, or -ENOMEM. */
static int take_devices(struct ss_vmdesc *vmdesc, struct ss_json_text *json)
{
    int r = 0;

    free(vmdesc->heads); /* of another list before it: the last one counts */
    vmdesc->heads = NULL;
    vmdesc->devices = vmdesc->heads_len = vmdesc->heads_size = 0;
    if (!ss_json_take(json, '['))
        return damaged(vmdesc, json, "it has no list of devices");
    vmdesc->has_devices = true;
    if (ss_json_take(json, ']'))
        return 0;
    do {
        json_t *device = take_value(vmdesc, json, &r);
        if (!device)
            return r;
        r = add_device(vmdesc, device);
        json_decref(device);
        if (r < 0)
            return r;
    } while (ss_json_take(json, ','));
    return ss_json_take(json, ']') ? 0 : damaged(vmdesc, json, "its list of devices has no end");
}

static int take_member(struct ss_vmdesc *vmdesc, struct ss_json_text *json)
{
    int r = 0;

    json_t *key = take_value(vmdesc, json, &r);
    const char *name = json_string_value(key);
    if (key && (!name || !ss_json_take(json, ':')))
        r = damaged(vmdesc, json, "a name is missing");
    if (r == 0 && strcmp(name, "devices") == 0) {
        r = take_devices(vmdesc, json);
    } else if (r == 0) {
        json_t *value = take_value(vmdesc, json, &r);
        json_int_t size = strcmp(name, "page_size") == 0 ? json_integer_value(value) : 0;
        if (size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX)
            vmdesc->page_size = (uint32_t)size;
        json_decref(value);
    }
    json_decref(key);
    return r;
}

static int take_all(struct ss_vmdesc *vmdesc, struct ss_json_text *json)
{
    if (!ss_json_take(json, '{'))
        return damaged(vmdesc, json, "it is no object");
    do {
        int r = take_member(vmdesc, json);
        if (r < 0)
            return r;
    } while (ss_json_take(json, ','));
    if (!ss_json_take(json, '}'))
        return damaged(vmdesc, json, "it has no end");
    if (ss_json_peek(json) != '\0' || json->at < json->len)
        return damaged(vmdesc, json, "something follows it");
    return vmdesc->has_devices ? 0 : damaged(vmdesc, json, "it has no list of devices");
}

/* Fills in what the text says. Returns 1; 0 when it is no description, with damage; or -ENOMEM. */
static int parse(const unsigned char *text, size_t len, struct ss_vmdesc *vmdesc)
{
    struct ss_json_text json = {.text = (const char *)text, .len = len};

    vmdesc->has_devices = vmdesc->unread = false;
    vmdesc->page_size = 0;
    int r = take_all(vmdesc, &json);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        vmdesc->has_devices = false;
        vmdesc->page_size = 0;
    }
    vmdesc->unread = r == -E2BIG;
    if (vmdesc->unread && text[len - 1] != '}')
        r = damaged(vmdesc, &json, "it has no end");
    return r == 0 || r == -E2BIG;
}

/* ---- where it is ---- */

/* Do the bytes at at look like the end before a description that is within len? */
static bool looks_right(const unsigned char *bytes, size_t len, size_t at)
{
    return bytes[at] == 0 && bytes[at + 1] == SECTION_DESCRIPTION && bytes[at + HEAD_LEN] == '{' &&
           ss_be32(bytes + at + 2) <= len - at - HEAD_LEN;
}

static bool has_footer(const unsigned char *bytes, size_t at)
{
    return bytes[at - FOOTER_LEN] == SECTION_FOOTER;
}

/* Returns 1 when it is one, 0 or -ENOMEM. */
static int try_at(const unsigned char *bytes, size_t len, size_t at, struct ss_vmdesc *vmdesc)
{
    size_t length = ss_be32(bytes + at + 2);
    bool exact = at + HEAD_LEN + length == len;

    vmdesc->damage[0] = '\0';
    if (length == 0)
        return 0;
    int r = parse(bytes + at + HEAD_LEN, length, vmdesc);
    if (r < 0 || (r == 0 && !(exact && has_footer(bytes, at))))
        return r;
    vmdesc->end = exact ? SS_VMDESC_EXACT : SS_VMDESC_FOLLOWED;
    vmdesc->at = at;
    vmdesc->trailing = len - at - HEAD_LEN - length;
    return 1;
}

/* The one that ends with the bytes, if there is such; the last one that does not, otherwise. As try_at(). */
static int search(const unsigned char *bytes, size_t len, bool footers, struct ss_vmdesc *vmdesc)
{
    int tries = 0, r = 0;

    for (size_t at = len - HEAD_LEN; r == 0 && tries < TRIES_MAX && at-- > FOOTER_LEN;) {
        if (!looks_right(bytes, len, at) || (footers && !has_footer(bytes, at)) ||
            at + HEAD_LEN + ss_be32(bytes + at + 2) != len)
            continue;
        tries++;
        r = try_at(bytes, len, at, vmdesc);
    }
    for (size_t at = len - HEAD_LEN; r == 0 && tries < TRIES_MAX && at-- > FOOTER_LEN;) {
        if (!looks_right(bytes, len, at) || !has_footer(bytes, at))
            continue;
        tries++;
        r = try_at(bytes, len, at, vmdesc);
    }
    return r;
}

int ss_vmdesc_find(const unsigned char *bytes, size_t len, bool footers, struct ss_vmdesc *vmdesc)
{
    memset(vmdesc, 0, sizeof *vmdesc);
    if (footers && len > FOOTER_LEN && bytes[len - 1] == 0 && bytes[len - 1 - FOOTER_LEN] == SECTION_FOOTER)
        vmdesc->end = SS_VMDESC_BARE;
    int r = len < FOOTER_LEN + HEAD_LEN + 1 ? 0 : search(bytes, len, footers, vmdesc);
    if (r <= 0) {
        vmdesc->damage[0] = '\0';
        vmdesc->has_devices = vmdesc->unread = false;
        vmdesc->page_size = 0;
    }
    return r < 0 ? r : 0;
}

void ss_vmdesc_free(struct ss_vmdesc *vmdesc)
{
    free(vmdesc->heads);
    vmdesc->heads = NULL;
}

/* ---- the devices' sections ---- */

/* The section's head: its byte, be32 number, the name with its length, be32 instance, be32 version. Returns where it is
 * passed, or NULL. */
static const unsigned char *find_head(const unsigned char *from, const unsigned char *end, const struct head *head,
                                      const unsigned char *name)
{
    unsigned char wanted[1 + NAME_LEN_MAX + 4];
    const unsigned char *at = from;

    wanted[0] = head->name_len;
    memcpy(wanted + 1, name, head->name_len);
    uint32_t number = htobe32(head->instance);
    memcpy(wanted + 1 + head->name_len, &number, sizeof number);
    size_t len = 1 + (size_t)head->name_len + sizeof number;
    while (at && at < end) {
        at = memmem(at, (size_t)(end - at), wanted, len);
        if (at && at - from >= DEVICE_NUMBER_LEN && at[-DEVICE_NUMBER_LEN] == SECTION_FULL)
            return at + len;
        if (at)
            at++;
    }
    return NULL;
}

size_t ss_vmdesc_pass(struct ss_vmdesc *vmdesc, const unsigned char *bytes, size_t len)
{
    const unsigned char *at = bytes, *end = bytes + len;

    while (vmdesc->passed < vmdesc->heads_len) {
        struct head head;
        memcpy(&head, vmdesc->heads + vmdesc->passed, sizeof head);
        const unsigned char *behind = find_head(at, end, &head, vmdesc->heads + vmdesc->passed + sizeof head);
        if (!behind) /* what may be the beginning of it is kept */
            return (size_t)(end - at) < SS_VMDESC_REST ? (size_t)(at - bytes) : len - (SS_VMDESC_REST - 1);
        at = behind;
        vmdesc->passed += sizeof head + head.name_len;
    }
    return len;
}

const char *ss_vmdesc_missing(const struct ss_vmdesc *vmdesc, char name[256])
{
    struct head head;

    if (vmdesc->passed >= vmdesc->heads_len)
        return NULL;
    memcpy(&head, vmdesc->heads + vmdesc->passed, sizeof head);
    memcpy(name, vmdesc->heads + vmdesc->passed + sizeof head, head.name_len);
    name[head.name_len] = '\0';
    return name;
}
