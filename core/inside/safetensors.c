/* safetensors: the length of a JSON object, that object, and the tensors' bytes one after the other. The object says
 * where each tensor ends, so the file's end is known. Source: README.md and safetensors/src/tensor.rs in safetensors.
 *
 * jansson reads one member of the object at a time, so that memory does not grow with the file. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "json_part.h"

#define PREFIX_LEN 8
#define JSON_LEN_MAX 100000000       /* as the reference implementation has it */
#define MEMBER_MAX ((size_t)4 << 20) /* bytes of one member's text */
#define BUFFER_SIZE ((size_t)8 << 20)
#define VALUE_MEMORY_MAX (4 * MEMBER_MAX)
#define TENSORS_MAX ((size_t)1 << 19) /* 12 MiB; models have some 100,000 */
#define METADATA "__metadata__"
#define TENSOR_LEN_MIN 40 /* bytes of a description */
#define STEP_TENSORS 0x1000

static const struct {
    const char *name;
    unsigned bits;
} types[] = {
    {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8}, {"I16", 16},        {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},
    {"U32", 32},        {"F8_E5M2FNUZ", 8}, {"F32", 32},    {"F64", 64},    {"I64", 64},    {"U64", 64},
    {"C64", 64},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

struct extent {
    uint64_t start, end; /* in the data, which begins after the JSON */
    uint64_t name;       /* a hash of it: no two may have the same */
};

struct model {
    const struct ss_job *job;
    uint64_t json_end, read; /* offsets in the file: where the JSON ends, and how much of it was read */
    char *buffer;
    size_t buffer_size;
    size_t at, len; /* in the buffer: the next byte to look at, and its content's end */

    struct extent *extents;
    size_t count, room;
    unsigned seen; /* a bit for each of types */
    bool unknown_type;
    char made_by[64]; /* "format" of the metadata */
};

/* Sets the finding; the 1 tells that there is one. */
#define DAMAGED(model, ...) (ss_job_say((model)->job, SS_HEADER_DAMAGED, __VA_ARGS__), 1)

static bool contains(const unsigned char *head, size_t len, const char *word)
{
    return memmem(head, len, word, strlen(word)) != NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* There is no magic. So the start has to look like what it should be, with a word that only this format has. */
static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    size_t at = PREFIX_LEN + 1;

    (void)size;
    if (len < PREFIX_LEN + 2 || head[PREFIX_LEN] != '{' || ss_le64(head) < 2 || ss_le64(head) > JSON_LEN_MAX)
        return false;
    while (at < len && is_space((char)head[at]))
        at++;
    if (at < len && head[at] == '}') /* no tensors: nothing but padding may follow */
        return ss_le64(head) <= 64 && size == PREFIX_LEN + ss_le64(head);
    return at < len && head[at] == '"' &&
           (contains(head, len, "\"data_offsets\"") || contains(head, len, "\"" METADATA "\"") ||
            (contains(head, len, "\"dtype\"") && contains(head, len, "\"shape\"")));
}

/* ---- the JSON, a member at a time ---- */

/* Has the buffer hold the whole next member. Returns 0 or -errno. */
static int fill(struct model *model)
{
    if (model->len - model->at >= MEMBER_MAX || model->read == model->json_end)
        return 0;
    memmove(model->buffer, model->buffer + model->at, model->len - model->at);
    model->len -= model->at;
    model->at = 0;
    uint64_t rest = model->json_end - model->read;
    size_t room = model->buffer_size - model->len, n = rest < room ? (size_t)rest : room;
    int r = ss_job_read(model->job, model->read, model->buffer + model->len, n);
    if (r < 0)
        return r;
    model->len += n;
    model->read += n;
    return ss_job_step(model->job, model->read);
}

/* The next byte that is no space, or 0 at the end. */
static char peek(struct model *model)
{
    while (model->at < model->len && is_space(model->buffer[model->at]))
        model->at++;
    return model->at < model->len ? model->buffer[model->at] : '\0';
}

static bool take(struct model *model, char wanted)
{
    if (peek(model) != wanted)
        return false;
    model->at++;
    return true;
}

/* The next value, which the caller frees, or NULL: with *too_large, or because it is no JSON. */
static json_t *take_value(struct model *model, bool *too_large)
{
    struct ss_json_text json = {.text = model->buffer, .at = model->at, .len = model->len};
    bool part = model->len - model->at > MEMBER_MAX;
    json_error_t error;

    if (part)
        json.len = model->at + MEMBER_MAX;
    json_t *value = ss_json_value(&json, VALUE_MEMORY_MAX, too_large, &error);
    *too_large |= part && !value;
    model->at = json.at;
    return value;
}

/* ---- tensors ---- */

/* Returns the bits of the type, 0 for one that is not known. */
static unsigned type_bits(struct model *model, const char *name)
{
    for (unsigned i = 0; i < SS_ARRAY_SIZE(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            model->seen |= 1U << i;
            return types[i].bits;
        }
    }
    model->unknown_type = true;
    return 0;
}

static bool to_size(const json_t *value, uint64_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *size = (uint64_t)json_integer_value(value);
    return true;
}

/* The bits of a tensor of that shape; false when there is no such number. */
static bool shape_bits(const json_t *shape, unsigned bits, uint64_t *total)
{
    *total = bits;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        uint64_t n;
        if (!to_size(json_array_get(shape, i), &n) || __builtin_mul_overflow(*total, n, total))
            return false;
    }
    return true;
}

/* Returns 0; 1 with a finding said; or -errno. */
static int add_extent(struct model *model, const struct extent *extent)
{
    if (model->count == model->room) {
        size_t room = model->room ? model->room * 2 : 64;
        if (room > TENSORS_MAX)
            return (ss_job_say(model->job, SS_FORMAT_UNSUPPORTED, "more than %zu tensors", TENSORS_MAX), 1);
        struct extent *extents = reallocarray(model->extents, room, sizeof *extents);
        if (!extents)
            return -ENOMEM;
        model->extents = extents;
        model->room = room;
    }
    model->extents[model->count++] = *extent;
    return 0;
}

/* FNV-1a. Whoever finds two names with one hash made the file for that. */
static uint64_t hash_name(const json_t *name)
{
    const char *bytes = json_string_value(name);
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < json_string_length(name); i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return hash;
}

/* Each returns 0; 1 with a finding said; or -errno. */
static int add_tensor(struct model *model, const json_t *name, const json_t *tensor)
{
    const char *type = json_string_value(json_object_get(tensor, "dtype"));
    const json_t *shape = json_object_get(tensor, "shape"), *offsets = json_object_get(tensor, "data_offsets");
    struct extent extent;
    uint64_t total;

    if (!type || !json_is_array(shape) || json_array_size(offsets) != 2 ||
        !to_size(json_array_get(offsets, 0), &extent.start) || !to_size(json_array_get(offsets, 1), &extent.end) ||
        extent.end < extent.start)
        return DAMAGED(model, "tensor %zu is not described", model->count + 1);
    unsigned bits = type_bits(model, type);
    if (!shape_bits(shape, bits ? bits : 1, &total) ||
        (bits && (total % 8 != 0 || total / 8 != extent.end - extent.start)))
        return DAMAGED(model, "tensor %zu has %" PRIu64 " bytes, which its shape contradicts", model->count + 1,
                       extent.end - extent.start);
    extent.name = hash_name(name);
    return add_extent(model, &extent);
}

static int take_member(struct model *model)
{
    bool too_large;
    json_t *name = take_value(model, &too_large);
    int r;

    if (!json_is_string(name) || !take(model, ':') || peek(model) == '\0') {
        json_decref(name);
        return DAMAGED(model, "the list of tensors is no JSON");
    }
    json_t *value = take_value(model, &too_large);
    if (!value && too_large) {
        r = (ss_job_say(model->job, SS_FORMAT_UNSUPPORTED, "one of its descriptions is very long"), 1);
    } else if (!json_is_object(value)) {
        r = DAMAGED(model, "the list of tensors is no JSON");
    } else if (strcmp(json_string_value(name), METADATA) == 0) {
        const char *made_by = json_string_value(json_object_get(value, "format"));
        strncpy(model->made_by, made_by ? made_by : "", sizeof model->made_by - 1);
        r = 0;
    } else {
        r = add_tensor(model, name, value);
    }
    json_decref(name);
    json_decref(value);
    return r;
}

static int take_object(struct model *model)
{
    int r = fill(model);
    if (r < 0)
        return r;
    if (!take(model, '{'))
        return DAMAGED(model, "the list of tensors is no JSON");
    if (take(model, '}'))
        return 0;
    do {
        if ((r = fill(model)) < 0)
            return r;
        if (peek(model) != '"')
            return DAMAGED(model, "the list of tensors is no JSON");
        if ((r = take_member(model)) != 0)
            return r;
        if (model->count % STEP_TENSORS == 0 && (r = ss_job_step(model->job, model->read)) < 0)
            return r;
        if ((r = fill(model)) < 0)
            return r;
    } while (take(model, ','));
    if (!take(model, '}'))
        return DAMAGED(model, "the list of tensors is no JSON");
    return 0;
}

/* After the object only spaces. */
static int take_rest(struct model *model)
{
    while (model->at < model->len || model->read < model->json_end) {
        int r = fill(model);
        if (r < 0)
            return r;
        if (peek(model) != '\0' || model->at < model->len)
            return DAMAGED(model, "something follows the list of tensors");
    }
    return 0;
}

/* ---- the answer ---- */

static int by_place(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->name < y->name ? -1 : x->name > y->name;
}

static int check_names(struct model *model)
{
    if (model->count > 0)
        qsort(model->extents, model->count, sizeof *model->extents, by_name);
    for (size_t i = 1; i < model->count; i++) {
        if (model->extents[i].name == model->extents[i - 1].name)
            return DAMAGED(model, "two tensors have the same name");
    }
    return 0;
}

/* Every byte of the data belongs to one tensor. */
static int check_extents(struct model *model, uint64_t *end, size_t *whole)
{
    uint64_t data = model->job->size - model->json_end;

    *end = 0;
    *whole = 0;
    if (model->count > 0)
        qsort(model->extents, model->count, sizeof *model->extents, by_place);
    for (size_t i = 0; i < model->count; i++) {
        const struct extent *extent = &model->extents[i];
        if (extent->start != *end)
            return DAMAGED(model, "the tensors %s at byte %" PRIu64 " of the data",
                           extent->start < *end ? "overlap" : "leave a hole",
                           extent->start < *end ? extent->start : *end);
        *end = extent->end;
        if (extent->end <= data)
            *whole = i + 1;
    }
    return 0;
}

static void tell_facts(const struct model *model, uint64_t end)
{
    char list[SS_FACT_TEXT_MAX] = "";

    ss_job_fact(model->job, "tensors", "%zu", model->count);
    ss_job_fact(model->job, "bytes", "%" PRIu64, end);
    for (unsigned i = 0; i < SS_ARRAY_SIZE(types); i++) {
        if (model->seen & (1U << i))
            strncat(strncat(list, list[0] ? ", " : "", sizeof list - strlen(list) - 1), types[i].name,
                    sizeof list - strlen(list) - 1);
    }
    if (list[0])
        ss_job_fact(model->job, "types", "%s", list);
    if (model->made_by[0])
        ss_job_fact(model->job, "made-by", "%s", model->made_by);
}

static int check_model(struct model *model)
{
    const struct ss_job *job = model->job;
    uint64_t end;
    size_t whole;

    int r = take_object(model);
    if (r == 0)
        r = take_rest(model);
    if (r == 0)
        r = check_names(model);
    if (r == 0)
        r = check_extents(model, &end, &whole);
    if (r != 0)
        return r < 0 ? r : 0;
    tell_facts(model, end);
    if (end > job->size - model->json_end)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED,
                          "the file has %" PRIu64 " of %" PRIu64 " bytes: %zu of its %zu tensors are whole", job->size,
                          model->json_end + end, whole, model->count);
    if (end < job->size - model->json_end)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "%" PRIu64 " bytes follow its last tensor",
                          job->size - model->json_end - end);
    if (model->unknown_type)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "some of its tensors are of a type that is not known");
    return ss_job_say(job, SS_COMPLETE, "%s", "");
}

static int check(const struct ss_job *job)
{
    struct model model = {.job = job, .read = PREFIX_LEN};
    unsigned char prefix[PREFIX_LEN];

    int r = ss_job_read(job, 0, prefix, sizeof prefix);
    if (r < 0)
        return r;
    if (!ss_job_holds(job, PREFIX_LEN, ss_le64(prefix)))
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file ends inside its list of tensors");
    model.json_end = PREFIX_LEN + ss_le64(prefix);
    model.buffer_size = model.json_end < BUFFER_SIZE ? (size_t)model.json_end : BUFFER_SIZE;
    /* The values of a whole buffer; the extents, and as much again while they are sorted. */
    const size_t json = model.json_end < MEMBER_MAX ? (size_t)model.json_end : MEMBER_MAX;
    const size_t tensors =
        model.json_end / TENSOR_LEN_MIN < TENSORS_MAX ? (size_t)model.json_end / TENSOR_LEN_MIN : TENSORS_MAX;
    r = ss_job_reserve(job, model.buffer_size + 4 * json + 4 * tensors * sizeof(struct extent));
    if (r < 0)
        return r;
    SS_AUTO_FREE char *buffer = malloc(model.buffer_size);
    if (!buffer)
        return -ENOMEM;
    model.buffer = buffer;
    r = check_model(&model);
    free(model.extents);
    return r == -ENODATA ? ss_job_say(job, SS_STRUCTURE_DAMAGED, "the file was cut while it was read") : r;
}

const struct ss_inside_format ss_inside_safetensors = {"safetensors", "safetensors model", matches, check};
