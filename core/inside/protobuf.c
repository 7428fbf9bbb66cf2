#include "protobuf.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

#define STEP_FIELDS 0x10000

enum {
    WIRE_VARINT = 0,
    WIRE_64_BITS = 1,
    WIRE_BYTES = 2,
    WIRE_32_BITS = 5,
};

static int get_bytes(struct ss_protobuf *message, size_t len, const unsigned char **bytes)
{
    if (message->end - message->at < len)
        return -EBADMSG;
    int r = ss_window_at(message->job, message->window, message->at, len, bytes);
    if (r == 0)
        message->at += len;
    return r;
}

static int get_varint(struct ss_protobuf *message, uint64_t *value)
{
    const unsigned char *byte;

    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        int r = get_bytes(message, 1, &byte);
        if (r < 0)
            return r;
        *value |= (uint64_t)(*byte & 0x7f) << shift;
        if (!(*byte & 0x80))
            return shift == 63 && *byte > 1 ? -EBADMSG : 0;
    }
    return -EBADMSG;
}

int ss_protobuf_next(struct ss_protobuf *message, struct ss_protobuf_field *field)
{
    const unsigned char *bytes;
    uint64_t tag = 0;

    if (message->at == message->end)
        return 0;
    memset(field, 0, sizeof *field);
    int r = ++message->fields % STEP_FIELDS == 0 ? ss_job_step(message->job, message->at) : 0;
    if (r == 0)
        r = get_varint(message, &tag);
    if (r < 0)
        return r;
    field->number = tag >> 3;
    if (field->number == 0 || field->number > UINT32_MAX >> 3)
        return -EBADMSG;
    switch (tag & 7) {
    case WIRE_VARINT:
        r = get_varint(message, &field->value);
        return r < 0 ? r : 1;
    case WIRE_64_BITS:
        r = get_bytes(message, 8, &bytes);
        field->value = r == 0 ? ss_le64(bytes) : 0;
        return r < 0 ? r : 1;
    case WIRE_32_BITS:
        r = get_bytes(message, 4, &bytes);
        field->value = r == 0 ? ss_le32(bytes) : 0;
        return r < 0 ? r : 1;
    case WIRE_BYTES:
        r = get_varint(message, &field->value);
        if (r == 0 && field->value > message->end - message->at)
            r = -EBADMSG;
        if (r < 0)
            return r;
        field->bytes = true;
        field->at = message->at;
        message->at += field->value;
        return 1;
    default:
        return -EBADMSG;
    }
}

int ss_protobuf_numbers(struct ss_protobuf *message, uint64_t *numbers, size_t count)
{
    struct ss_protobuf_field field;
    int r;

    memset(numbers, 0, count * sizeof *numbers);
    while ((r = ss_protobuf_next(message, &field)) > 0) {
        if (!field.bytes && field.number < count)
            numbers[field.number] = field.value;
    }
    return r;
}
