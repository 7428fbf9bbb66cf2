#include "vmdesc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"

enum {
    SECTION_FULL = 0x04,
    SECTION_DESCRIPTION = 0x06,
    SECTION_FOOTER = 0x7e,
};

#define FOOTER_LEN ((size_t)5)         /* its byte, and the section's number */
#define HEAD_LEN ((size_t)6)           /* of the description: the 0, its byte, be32 length */
#define MEMORY_MAX ((size_t)128 << 20) /* bytes that parsed JSON may take */
#define TRIES_MAX 16                   /* descriptions before the end that are parsed to see whether they are one */
#define PAGE_SIZE_MIN 1024
#define PAGE_SIZE_MAX (1 << 20)

/* A bound of what jansson needs for the text: two hash tables for each brace, a value for each comma. */
static bool is_affordable(const unsigned char *text, size_t len)
{
    size_t memory = len;

    for (size_t i = 0; i < len && memory <= MEMORY_MAX; i++)
        memory += text[i] == '{' || text[i] == '[' ? 256 : text[i] == ',' ? 64 : 0;
    return memory <= MEMORY_MAX;
}

/* Fills in what the text says. False when it is no description, with damage. */
static bool parse(const unsigned char *text, size_t len, struct ss_vmdesc *vmdesc)
{
    json_error_t error;

    if (!is_affordable(text, len)) {
        if (text[len - 1] == '}')
            return true;
        snprintf(vmdesc->damage, sizeof vmdesc->damage, "it has no end");
        return false;
    }
    json_t *all = json_loadb((const char *)text, len, 0, &error);
    if (!all) {
        snprintf(vmdesc->damage, sizeof vmdesc->damage, "%.100s, line %d column %d", error.text, error.line,
                 error.column);
        return false;
    }
    json_t *devices = json_object_get(all, "devices");
    json_int_t page_size = json_integer_value(json_object_get(all, "page_size"));
    bool good = json_is_array(devices);
    if (good) {
        vmdesc->devices = json_incref(devices);
        vmdesc->page_size = page_size >= PAGE_SIZE_MIN && page_size <= PAGE_SIZE_MAX ? (uint32_t)page_size : 0;
    } else {
        snprintf(vmdesc->damage, sizeof vmdesc->damage, "it has no list of devices");
    }
    json_decref(all);
    return good;
}

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

static bool try_at(const unsigned char *bytes, size_t len, size_t at, struct ss_vmdesc *vmdesc)
{
    size_t length = ss_be32(bytes + at + 2);
    bool exact = at + HEAD_LEN + length == len;

    if (length == 0)
        return false;
    if (!parse(bytes + at + HEAD_LEN, length, vmdesc) && !(exact && has_footer(bytes, at)))
        return false;
    vmdesc->end = exact ? SS_VMDESC_EXACT : SS_VMDESC_FOLLOWED;
    vmdesc->at = at;
    vmdesc->trailing = len - at - HEAD_LEN - length;
    return true;
}

void ss_vmdesc_find(const unsigned char *bytes, size_t len, bool footers, struct ss_vmdesc *vmdesc)
{
    int tries = 0;

    memset(vmdesc, 0, sizeof *vmdesc);
    if (footers && len > FOOTER_LEN && bytes[len - 1] == 0 && bytes[len - 1 - FOOTER_LEN] == SECTION_FOOTER)
        vmdesc->end = SS_VMDESC_BARE;
    if (len < FOOTER_LEN + HEAD_LEN + 1)
        return;
    /* The one that ends with the bytes, if there is such; the last one that does not, otherwise. */
    for (size_t at = len - HEAD_LEN; at-- > FOOTER_LEN;) {
        if (!looks_right(bytes, len, at) || (footers && !has_footer(bytes, at)) ||
            at + HEAD_LEN + ss_be32(bytes + at + 2) != len)
            continue;
        if (tries++ < TRIES_MAX && try_at(bytes, len, at, vmdesc))
            return;
        vmdesc->damage[0] = '\0';
    }
    for (size_t at = len - HEAD_LEN; at-- > FOOTER_LEN && tries < TRIES_MAX;) {
        if (!looks_right(bytes, len, at) || !has_footer(bytes, at))
            continue;
        tries++;
        vmdesc->damage[0] = '\0';
        if (try_at(bytes, len, at, vmdesc))
            return;
    }
    vmdesc->damage[0] = '\0';
}

void ss_vmdesc_free(struct ss_vmdesc *vmdesc)
{
    json_decref(vmdesc->devices);
    vmdesc->devices = NULL;
}

/* The section's head: its byte, be32 number, the name with its length, be32 instance, be32 version. */
static const unsigned char *find_head(const unsigned char *from, const unsigned char *end, const char *name,
                                      uint32_t instance)
{
    unsigned char wanted[1 + 255 + 4];
    size_t name_len = strlen(name);
    const unsigned char *at = from;

    if (name_len == 0 || name_len > 255)
        return from;
    wanted[0] = (unsigned char)name_len;
    memcpy(wanted + 1, name, name_len + 1); /* what follows overwrites its NUL */
    uint32_t number = htobe32(instance);
    memcpy(wanted + 1 + name_len, &number, sizeof number);
    size_t len = 1 + name_len + sizeof number;
    while (at && at < end) {
        at = memmem(at, (size_t)(end - at), wanted, len);
        if (at && at - from >= 5 && at[-5] == SECTION_FULL)
            return at + len;
        if (at)
            at++;
    }
    return NULL;
}

const char *ss_vmdesc_missing(const struct ss_vmdesc *vmdesc, const unsigned char *bytes, size_t len)
{
    const unsigned char *at = bytes, *end = bytes + len;
    size_t i;
    json_t *device;

    json_array_foreach(vmdesc->devices, i, device)
    {
        const char *name = json_string_value(json_object_get(device, "name"));
        json_t *instance = json_object_get(device, "instance_id");
        if (!name || !json_is_integer(instance))
            continue;
        at = find_head(at, end, name, (uint32_t)json_integer_value(instance));
        if (!at)
            return name;
    }
    return NULL;
}
