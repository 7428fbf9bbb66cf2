#include "criu_image.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"

#define STEP_RECORDS 0x1000
#define NUMBERS 16 /* no field that is looked at has a number that large */

/* What lies after a record, and by which of its fields. */
enum extra {
    NOTHING,
    PIPE,      /* as many bytes as field 2 says: of pipes and sockets' queues */
    TCP,       /* two queues, fields 1 and 3 */
    BPF,       /* keys and values, fields 2 and 3 */
    MEMORY,    /* field 2, padded to 4, unless field 3 tells that it is in a pagemap */
    SEMAPHORE, /* field 2 of 16 bits each, padded to 8 */
    MESSAGES,  /* field 3 of them, records of their own with data */
    GHOST,     /* chunks, or the rest of the file */
};

struct ss_criu_type {
    const char *name;
    uint32_t magic;
    enum extra extra;
};

static const struct ss_criu_type types[] = {
    {"inventory", SS_CRIU_INVENTORY_MAGIC, NOTHING},
    {"pstree", SS_CRIU_PSTREE_MAGIC, NOTHING},
    {"core", 0x55053847, NOTHING},
    {"ids", 0x54432030, NOTHING},
    {"mm", 0x57492820, NOTHING},
    {"vmas", 0x54123737, NOTHING},
    {"creds", 0x54023547, NOTHING},
    {"fs", 0x51403912, NOTHING},
    {"pagemap", 0x56084025, NOTHING},
    {"pagemap-shmem", 0x56084025, NOTHING},
    {"fdinfo", 0x56213732, NOTHING},
    {"files", 0x56303138, NOTHING},
    {"reg-files", 0x50363636, NOTHING},
    {"ext-files", 0x59255641, NOTHING},
    {"ns-files", 0x61394011, NOTHING},
    {"eventfd", 0x44523722, NOTHING},
    {"eventpoll", 0x45023858, NOTHING},
    {"eventpoll-tfd", 0x44433746, NOTHING},
    {"signalfd", 0x57323820, NOTHING},
    {"inotify", 0x48424431, NOTHING},
    {"inotify-wd", 0x54562009, NOTHING},
    {"fanotify", 0x55096122, NOTHING},
    {"fanotify-mark", 0x56506035, NOTHING},
    {"pipes", 0x56513555, NOTHING},
    {"pipes-data", 0x56453709, PIPE},
    {"fifo", 0x58364939, NOTHING},
    {"fifo-data", 0x59333054, PIPE},
    {"sk-queues", 0x56264026, PIPE},
    {"sigacts", 0x55344201, NOTHING},
    {"signal-s", 0x59255647, NOTHING},
    {"signal-p", 0x59255647, NOTHING},
    {"unixsk", 0x54373943, NOTHING},
    {"inetsk", 0x56443851, NOTHING},
    {"packetsk", 0x60454618, NOTHING},
    {"netlinksk", 0x58005614, NOTHING},
    {"tcp-stream", 0x51465506, TCP},
    {"itimers", 0x57464056, NOTHING},
    {"posix-timers", 0x52603957, NOTHING},
    {"timerfd", 0x50493712, NOTHING},
    {"utsns", 0x54473203, NOTHING},
    {"timens", 0x43114433, NOTHING},
    {"pidns", 0x61157326, NOTHING},
    {"userns", 0x55474906, NOTHING},
    {"netns", 0x55933752, NOTHING},
    {"netdev", 0x57373951, NOTHING},
    {"mountpoints", 0x55563928, NOTHING},
    {"ipcns-var", 0x53115007, NOTHING},
    {"ipcns-shm", 0x46283044, MEMORY},
    {"ipcns-msg", 0x55453737, MESSAGES},
    {"ipcns-sem", 0x59573019, SEMAPHORE},
    {"remap-fpath", 0x59133954, NOTHING},
    {"ghost-file", 0x52583605, GHOST},
    {"memfd", 0x48453499, NOTHING},
    {"bpfmap-file", 0x57506142, NOTHING},
    {"bpfmap-data", 0x64324033, BPF},
    {"tty", 0x59433025, NOTHING},
    {"tty-info", 0x59453036, NOTHING},
    {"tty-data", 0x59413026, NOTHING},
    {"tunfile", 0x57143751, NOTHING},
    {"filelocks", 0x54323616, NOTHING},
    {"rlimit", 0x57113925, NOTHING},
    {"cgroup", 0x59383330, NOTHING},
    {"cpuinfo", 0x61404013, NOTHING},
    {"seccomp", 0x64413049, NOTHING},
    {"apparmor", 0x59423047, NOTHING},
    {"pidfd", 0x54435556, NOTHING},
};

/* Is rest ".img", or "-" and a number and ".img"? */
static bool is_rest(const char *rest)
{
    if (*rest == '-') {
        size_t digits = strspn(rest + 1, "0123456789abcdef");
        if (digits == 0)
            return false;
        rest += 1 + digits;
    }
    return strcmp(rest, ".img") == 0;
}

const struct ss_criu_type *ss_criu_type_of(const char *name)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(types); i++) {
        size_t len = strlen(types[i].name);
        if (strncmp(name, types[i].name, len) == 0 && is_rest(name + len))
            return &types[i];
    }
    return NULL;
}

/* ---- records ---- */

struct walk {
    const struct ss_job *job;
    struct ss_window *window;
    uint64_t at;
};

static int get32(struct walk *walk, uint32_t *value)
{
    const unsigned char *bytes;

    int r = ss_window_at(walk->job, walk->window, walk->at, sizeof *value, &bytes);
    if (r < 0)
        return r;
    *value = ss_le32(bytes);
    walk->at += sizeof *value;
    return 0;
}

static int check_magic(struct walk *walk, uint32_t magic)
{
    uint32_t value;

    int r = get32(walk, &value);
    if (r == 0 && magic != SS_CRIU_INVENTORY_MAGIC) {
        if (value != SS_CRIU_COMMON_MAGIC)
            return -EBADMSG;
        r = get32(walk, &value);
    }
    return r < 0 ? r : value == magic ? 0 : -EBADMSG;
}

/* The message of the record here; walk then stands behind it. */
static int get_message(struct walk *walk, struct ss_protobuf *message)
{
    uint32_t len;

    int r = get32(walk, &len);
    if (r < 0)
        return r;
    if (!ss_job_holds(walk->job, walk->at, len))
        return -ENODATA;
    *message = (struct ss_protobuf){.job = walk->job, .window = walk->window, .at = walk->at, .end = walk->at + len};
    walk->at += len;
    return 0;
}

static int skip(struct walk *walk, uint64_t len, unsigned padding)
{
    if (len > UINT64_MAX - padding)
        return -EBADMSG;
    len = (len + padding - 1) / padding * padding;
    if (!ss_job_holds(walk->job, walk->at, len))
        return -ENODATA;
    walk->at += len;
    return 0;
}

static int skip_messages(struct walk *walk, uint64_t count)
{
    uint64_t numbers[NUMBERS];
    struct ss_protobuf message;

    for (uint64_t i = 0; i < count; i++) {
        int r = get_message(walk, &message);
        if (r == 0)
            r = ss_protobuf_numbers(&message, numbers, NUMBERS);
        if (r == 0)
            r = skip(walk, numbers[2], 8);
        if (r == 0 && i % STEP_RECORDS == 0)
            r = ss_job_step(walk->job, walk->at);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The first record of a ghost file tells what the rest is; each other one is a chunk. */
static int skip_ghost(struct walk *walk, uint64_t record, const uint64_t *numbers)
{
    if (record > 0)
        return skip(walk, numbers[1], 1);
    if (numbers[9] == 0)
        walk->at = walk->job->size;
    return 0;
}

static int skip_extra(struct walk *walk, enum extra extra, uint64_t record, struct ss_protobuf *message)
{
    uint64_t numbers[NUMBERS];

    int r = ss_protobuf_numbers(message, numbers, NUMBERS);
    if (r < 0)
        return r;
    switch (extra) {
    case NOTHING:
        return 0;
    case PIPE:
        return skip(walk, numbers[2], 1);
    case TCP:
        r = skip(walk, numbers[1], 1);
        return r < 0 ? r : skip(walk, numbers[3], 1);
    case BPF:
        r = skip(walk, numbers[2], 1);
        return r < 0 ? r : skip(walk, numbers[3], 1);
    case MEMORY:
        return numbers[3] ? 0 : skip(walk, numbers[2], 4);
    case SEMAPHORE:
        return numbers[2] > UINT32_MAX ? -EBADMSG : skip(walk, numbers[2] * 2, 8);
    case MESSAGES:
        return skip_messages(walk, numbers[3]);
    case GHOST:
        return skip_ghost(walk, record, numbers);
    }
    return -EBADMSG;
}

int ss_criu_walk(const struct ss_job *job, const struct ss_criu_type *type, struct ss_window *window, bool deep,
                 int (*each)(void *context, uint64_t number, struct ss_protobuf *message), void *context,
                 uint64_t *records)
{
    struct walk walk = {.job = job, .window = window};
    struct ss_protobuf message;

    window->len = 0; /* of another file */
    *records = 0;
    int r = check_magic(&walk, type->magic);
    for (uint64_t i = 0; r == 0 && walk.at < job->size; i++) {
        r = get_message(&walk, &message);
        if (r == 0 && each) {
            struct ss_protobuf copy = message;
            r = each(context, i, &copy);
        }
        if (r == 0 && (deep || type->extra != NOTHING))
            r = skip_extra(&walk, type->extra, i, &message);
        if (r == 0 && i % STEP_RECORDS == 0)
            r = ss_job_step(job, walk.at);
        *records = i + 1;
    }
    return r;
}
