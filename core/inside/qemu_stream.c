#include "qemu_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "stream_walk.h"
#include "vmdesc.h"

#define QEMU_MAGIC 0x5145564dU /* "QEVM" */

/* The description of the devices is some 100 KiB, and 8 KiB for each processor more. */
#define TAIL_SHORT ((size_t)1 << 20)
#define TAIL_LONG ((size_t)8 << 20)
#define TAIL_MORE ((size_t)4 << 20)     /* what is kept at most in addition, of a flow */
#define FLOW_MEMORY ((size_t)512 << 10) /* with that of what it comes from, if that is not told apart */
#define DEVICES_PIECE ((size_t)256 << 10)

static size_t memory_for(size_t tail)
{
    return FLOW_MEMORY + tail / 2 * 5 + SS_VMDESC_MEMORY;
}

/* Everything that is found out about one stream. */
struct stream {
    struct ss_stream_walk walk;
    struct ss_vmdesc vmdesc;
    bool whole_tail; /* no stream has an end that is longer than what was looked at, but: */
    bool only_text;  /* all of that was text: it may be within a description that is */
};

static void close_stream(struct stream *stream)
{
    ss_ram_free(&stream->walk.ram);
    ss_vmdesc_free(&stream->vmdesc);
}

/* ---- what is said ---- */

static int say_begin(const struct ss_job *job, enum ss_stream_begin begin, const struct stream *stream)
{
    switch (begin) {
    case SS_STREAM_ABSENT:
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory is missing");
    case SS_STREAM_CUT:
        return ss_job_say(job, SS_STREAM_DAMAGED, "it ends in the first bytes of the machine's memory");
    case SS_STREAM_VERSION:
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "version %" PRIu32 " of QEMU's stream", stream->walk.version);
    case SS_STREAM_SECTIONLESS:
        return ss_job_say(job, SS_STREAM_DAMAGED, "no section begins behind the header of QEMU's stream");
    default:
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory is no stream of QEMU");
    }
}

/* By its end alone. Streams of machines before QEMU 2.4 may lack what tells. */
static int say_end(const struct ss_job *job, const struct stream *stream)
{
    const struct ss_vmdesc *vmdesc = &stream->vmdesc;

    switch (vmdesc->end) {
    case SS_VMDESC_EXACT:
        if (vmdesc->damage[0])
            return ss_job_say(job, SS_STREAM_DAMAGED, "the description of the devices at its end is damaged: %s",
                              vmdesc->damage);
        if (vmdesc->unread)
            return ss_job_say(job, SS_END_UNPROVEN,
                              "the description of the devices at its end is too large to be read");
        return ss_job_say(job, SS_COMPLETE, "%s", "");
    case SS_VMDESC_FOLLOWED:
        return ss_job_say(job, SS_END_UNPROVEN, "%zu bytes follow the end of QEMU's stream", vmdesc->trailing);
    case SS_VMDESC_BARE:
        return ss_job_say(job, SS_END_UNPROVEN, "QEMU's stream has no description of its devices at its end");
    default:
        if (stream->only_text)
            return ss_job_say(job, SS_END_UNPROVEN,
                              "the description of the devices at its end is too large to be read");
        if (stream->walk.configured && stream->whole_tail)
            return ss_job_say(job, SS_STREAM_DAMAGED, "the end of QEMU's stream is missing");
        return ss_job_say(job, SS_END_UNPROVEN, "QEMU's stream has no end that is known");
    }
}

static void tell_facts(const struct ss_job *job, const struct stream *stream)
{
    if (stream->walk.machine[0])
        ss_job_fact(job, "machine", "%s", stream->walk.machine);
    if (stream->vmdesc.page_size)
        ss_job_fact(job, "page-size", "%" PRIu32, stream->vmdesc.page_size);
    if (stream->vmdesc.has_devices)
        ss_job_fact(job, "devices", "%zu", stream->vmdesc.devices);
}

/* Text that ends as a description does: the description may be longer than what was looked at. */
static bool is_text(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] < ' ' || bytes[i] > '~')
            return false;
    }
    return len > 2 && memcmp(bytes + len - 2, "]}", 2) == 0;
}

/* What the walk found counts only when it went by the right page size. */
static bool is_sure(const struct stream *stream)
{
    return stream->walk.ram.mapped || stream->vmdesc.page_size == stream->walk.ram.page_size;
}

/* ---- a stream in the file ---- */

struct file_source {
    const struct ss_job *job;
    uint64_t at;
};

static ssize_t read_file(void *context, void *buf, size_t len)
{
    struct file_source *source = context;
    uint64_t left = source->at < source->job->size ? source->job->size - source->at : 0;

    int r = ss_job_step(source->job, source->at);
    if (r < 0)
        return r;
    ssize_t n = ss_pread_full(source->job->fd, buf, left < len ? (size_t)left : len, (off_t)source->at);
    source->at += n > 0 ? (uint64_t)n : 0;
    return n;
}

static int skip_file(void *context, uint64_t len)
{
    struct file_source *source = context;

    source->at = len < UINT64_MAX - source->at ? source->at + len : UINT64_MAX;
    return ss_job_step(source->job, source->at);
}

/* Looks for the end in the last bytes of the file. Returns 0 or -errno. */
static int find_end(const struct ss_job *job, uint64_t start, size_t most, struct stream *stream, uint64_t *end_at)
{
    uint64_t stream_len = job->size - start;
    size_t len = stream_len < most ? (size_t)stream_len : most;
    uint64_t from = job->size - len;

    int r = ss_job_reserve(job, memory_for(len));
    if (r < 0)
        return r;
    SS_AUTO_FREE unsigned char *bytes = malloc(len);
    if (!bytes)
        return -ENOMEM;
    r = ss_job_read(job, from, bytes, len);
    if (r == 0)
        r = ss_vmdesc_find(bytes, len, stream->walk.configured, &stream->vmdesc);
    if (r < 0 && r != -ENODATA)
        return r;
    *end_at = from + stream->vmdesc.at;
    stream->whole_tail = most == TAIL_LONG || len == stream_len;
    stream->only_text = r == 0 && len == TAIL_LONG && is_text(bytes, len);
    return 0;
}

static int find_end_far(const struct ss_job *job, uint64_t start, struct stream *stream, uint64_t *end_at)
{
    int r = find_end(job, start, TAIL_SHORT, stream, end_at);

    if (r < 0 || stream->whole_tail || stream->vmdesc.end == SS_VMDESC_EXACT)
        return r;
    ss_vmdesc_free(&stream->vmdesc);
    return find_end(job, start, TAIL_LONG, stream, end_at);
}

/* Looks for the devices in the bytes up to end. Returns 0 or -errno; -ENODATA when the file got shorter meanwhile. */
static int pass_devices(const struct ss_job *job, struct stream *stream, uint64_t from, uint64_t end)
{
    SS_AUTO_FREE unsigned char *bytes = malloc(DEVICES_PIECE);

    if (!bytes)
        return -ENOMEM;
    for (bool last = false; !last;) {
        size_t len = end - from < DEVICES_PIECE ? (size_t)(end - from) : DEVICES_PIECE;
        last = len == end - from;
        int r = ss_job_read(job, from, bytes, len);
        if (r == 0)
            r = ss_job_step(job, from);
        if (r < 0)
            return r;
        from += ss_vmdesc_pass(&stream->vmdesc, bytes, len);
    }
    return 0;
}

/* Says it when a device is missing between the memory and the end. Returns 0 or -errno. */
static int check_devices(const struct ss_job *job, struct stream *stream, uint64_t from, uint64_t end_at)
{
    char name[256];

    if (end_at < from)
        return ss_job_say(job, SS_STREAM_DAMAGED, "the machine's memory goes on past the end of the stream");
    int r = pass_devices(job, stream, from, end_at);
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    const char *missing = ss_vmdesc_missing(&stream->vmdesc, name);
    return missing ? ss_job_say(job, SS_STREAM_DAMAGED, "the state of the device %.64s is missing", missing) : 0;
}

/* The memory, and the devices behind it. end_at: of the stream. */
static int check_deep(const struct ss_job *job, uint64_t start, struct stream *stream, struct ss_flow *flow,
                      uint64_t end_at)
{
    enum ss_walk walked = ss_stream_walk(&stream->walk, flow);

    if (walked == SS_WALK_NO_MEMORY || flow->error)
        return flow->error ? flow->error : -ENOMEM;
    if (walked == SS_WALK_DAMAGED && is_sure(stream))
        return ss_job_say(job, SS_STREAM_DAMAGED, "%s", stream->walk.ram.why);
    if (walked == SS_WALK_LOST && stream->walk.ram.map_version != 0)
        return ss_job_say(job, SS_FORMAT_UNSUPPORTED, "version %" PRIu32 " of a map of the machine's memory",
                          stream->walk.ram.map_version);
    if (walked == SS_WALK_GOOD && is_sure(stream) && stream->vmdesc.has_devices)
        return check_devices(job, stream, start + flow->taken, end_at);
    return 0;
}

static int check_file(const struct ss_job *job, uint64_t start, struct stream *stream, struct ss_flow *flow)
{
    uint64_t end_at = 0;

    enum ss_stream_begin begin = ss_stream_begin(&stream->walk, flow);
    if (flow->error)
        return flow->error;
    if (begin != SS_STREAM_BEGUN)
        return say_begin(job, begin, stream);
    int r = find_end_far(job, start, stream, &end_at);
    if (r < 0)
        return r;
    tell_facts(job, stream);
    say_end(job, stream);
    if (stream->vmdesc.page_size) {
        stream->walk.ram.page_size = stream->vmdesc.page_size;
        stream->walk.ram.page_size_told = true;
    }
    bool walk = job->options->deep || stream->walk.ram.want_mapped; /* places are looked up fast */
    return walk && job->inside->finding != SS_STREAM_DAMAGED ? check_deep(job, start, stream, flow, end_at) : 0;
}

int ss_qemu_stream_check(const struct ss_job *job, uint64_t start, bool mapped)
{
    struct file_source source = {.job = job, .at = start};
    struct ss_flow flow = {.read = read_file, .skip = skip_file, .source = &source};
    struct stream stream = {
        .walk.ram = {.start = start, .file_size = job->size, .want_mapped = mapped},
    };

    if (start >= job->size)
        return say_begin(job, SS_STREAM_ABSENT, &stream);
    int r = ss_flow_open(&flow);
    if (r == 0)
        r = check_file(job, start, &stream, &flow);
    ss_flow_close(&flow);
    close_stream(&stream);
    return r;
}

/* ---- a stream out of a decompressor ---- */

/* The last bytes of a flow. */
struct tail {
    unsigned char *bytes;
    size_t len, size;
    struct ss_stream_memory *memory;
    bool lost; /* there were more before them */
};

static int grow(const struct ss_job *job, struct tail *tail)
{
    size_t size = tail->size ? TAIL_LONG + TAIL_MORE : TAIL_SHORT;

    size_t reading = tail->memory->source + FLOW_MEMORY + size, looking = memory_for(size);
    int r = ss_job_reserve(job, reading > looking ? reading : looking);
    if (r < 0)
        return r;
    unsigned char *bytes = realloc(tail->bytes, size);
    if (!bytes)
        return -ENOMEM;
    tail->bytes = bytes;
    tail->size = size;
    tail->memory->reader = FLOW_MEMORY + size;
    return 0;
}

/* Keeps TAIL_LONG bytes at least. */
static int read_tail(const struct ss_job *job, struct ss_flow *flow, struct tail *tail)
{
    for (;;) {
        if (tail->len == tail->size && tail->size < TAIL_LONG) {
            int r = grow(job, tail);
            if (r < 0)
                return r;
        } else if (tail->len == tail->size) {
            memmove(tail->bytes, tail->bytes + TAIL_MORE, TAIL_LONG);
            tail->len = TAIL_LONG;
            tail->lost = true;
        }
        ssize_t n = ss_flow_drain(flow, tail->bytes + tail->len, tail->size - tail->len);
        if (n <= 0)
            return (int)n;
        tail->len += (size_t)n;
    }
}

static int judge_tail(const struct ss_job *job, struct stream *stream, const struct tail *tail, enum ss_walk walked)
{
    const char *missing = NULL;
    char name[256];

    int r = ss_vmdesc_find(tail->bytes, tail->len, stream->walk.configured, &stream->vmdesc);
    if (r < 0)
        return r;
    stream->whole_tail = true;
    stream->only_text = tail->lost && is_text(tail->bytes, tail->len);
    tell_facts(job, stream);
    say_end(job, stream);
    if (job->inside->finding == SS_STREAM_DAMAGED || !is_sure(stream))
        return 0;
    if (walked == SS_WALK_DAMAGED)
        return ss_job_say(job, SS_STREAM_DAMAGED, "%s", stream->walk.ram.why);
    if (walked == SS_WALK_GOOD && stream->vmdesc.has_devices && !tail->lost) {
        ss_vmdesc_pass(&stream->vmdesc, tail->bytes, stream->vmdesc.at);
        missing = ss_vmdesc_missing(&stream->vmdesc, name);
    }
    return missing ? ss_job_say(job, SS_STREAM_DAMAGED, "the state of the device %.64s is missing", missing) : 0;
}

static int check_flow(const struct ss_job *job, struct ss_flow *flow, struct stream *stream, struct tail *tail)
{
    enum ss_stream_begin begin = ss_stream_begin(&stream->walk, flow);
    enum ss_walk walked = begin == SS_STREAM_BEGUN ? ss_stream_walk(&stream->walk, flow) : SS_WALK_LOST;

    if (walked == SS_WALK_NO_MEMORY)
        return -ENOMEM;
    int r = read_tail(job, flow, tail);
    if (r < 0)
        return r;
    return begin == SS_STREAM_BEGUN ? judge_tail(job, stream, tail, walked) : say_begin(job, begin, stream);
}

int ss_qemu_stream_check_flow(const struct ss_job *job, struct ss_flow *flow, struct ss_stream_memory *memory)
{
    struct stream stream = {0};
    struct tail tail = {.memory = memory};

    int r = check_flow(job, flow, &stream, &tail);
    free(tail.bytes);
    close_stream(&stream);
    return r;
}

/* ---- a file that is such a stream ---- */

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= 8 && ss_be32(head) == QEMU_MAGIC;
}

static int check(const struct ss_job *job)
{
    return ss_qemu_stream_check(job, 0, false);
}

const struct ss_inside_format ss_inside_qemu = {"qemu", "QEMU migration stream", matches, check};
