#include "verify_run.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bitmap.h"
#include "core/check/draftfile.h"
#include "core/util.h"
#include "queue.h"

#define DEFAULT_JOBS_MAX 32 /* each has a buffer of 512 KiB, and so have the threads of a long file */
#define HEADER_SIZE 4096    /* bytes: what --quick reads of most files */

/* A file on its way through the queue. */
struct slot {
    struct verify_answer answer;
    struct verify_run *run;
    struct stat st;           /* before it was looked at */
    uint64_t fs;              /* its file system, for the state */
    bool has_st;              /* it is a regular file that has been there */
    bool known;               /* the answer is there already */
    _Atomic uint64_t counted; /* bytes of it that the meter has */
};

unsigned verify_run_jobs(void)
{
    cpu_set_t cpus;
    unsigned count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;

    return count < DEFAULT_JOBS_MAX ? count : DEFAULT_JOBS_MAX;
}

/* ---- what the checks call, in any thread ---- */

/* Bytes of a file, from and to which it has come, for the meter; in a deep check they are passed twice. */
static void meter_bytes(struct slot *slot, uint64_t from, uint64_t to)
{
    uint64_t size = slot->answer.check.size;

    if (to > size)
        to = size;
    if (from < to && !slot->run->meter.files)
        meter_add(&slot->run->meter, to - from);
}

static int on_admit(void *context, size_t len)
{
    struct slot *slot = context;
    uint64_t from = atomic_fetch_add(&slot->counted, len);

    meter_bytes(slot, from, from + len);
    return limit_admit(slot->run->limit, len);
}

static int on_progress(void *context, uint64_t done, uint64_t size)
{
    struct slot *slot = context;
    uint64_t from = atomic_load(&slot->counted);

    (void)size;
    while (from < done && !atomic_compare_exchange_weak(&slot->counted, &from, done))
        ;
    meter_bytes(slot, from, done);
    return limit_is_over(slot->run->limit) ? -ECANCELED : 0;
}

/* ---- one file ---- */

static void check_file(struct slot *slot)
{
    struct verify_run *run = slot->run;
    const struct walk_item *item = &slot->answer.item;
    struct ss_check *check = &slot->answer.check;
    struct ss_check_options options = {
        .level = run->wanted.level,
        .run =
            {
                .threads = run->jobs,
                .stop = &run->limit->stop,
                .progress = on_progress,
                .admit = on_admit,
                .context = slot,
            },
        .turn = &run->turn,
        .memory = &run->memory,
        .digests = run->digests,
        .seal_only = item->part, /* its content is the directory's affair */
    };

    if (item->part && options.level == SS_CHECK_DEEP)
        options.level = SS_CHECK_WHOLE;
    if (run->against && !ss_draftfile_named(item->name)) {
        options.reference = against_find(run->against, item->path);
        if (!options.reference) {
            ss_judge(&check->why, SS_NOT_LISTED, "%s", "");
            return;
        }
    }
    if (item->dir)
        ss_check_at(&item->dir->place, item->name, item->path, &options, check);
    else
        ss_check_path(item->path, &options, check);
}

static void pay(struct slot *slot)
{
    struct verify_run *run = slot->run;
    const struct ss_check *check = &slot->answer.check;

    if (slot->answer.item.part && check->why.finding == SS_UNSEALED) /* not looked at */
        return;
    if (run->wanted.level == SS_CHECK_QUICK && check->size > 0) {
        uint64_t read = check->has_seal ? check->seal.header_len : HEADER_SIZE;
        limit_admit(run->limit, read < check->size ? read : check->size);
    }
    if (run->meter.files)
        meter_add(&run->meter, 1);
    else
        meter_bytes(slot, atomic_load(&slot->counted), check->size);
}

static void work(void *context, void *memory)
{
    struct verify_run *run = context;
    struct slot *slot = memory;
    struct verify_answer *answer = &slot->answer;

    if (slot->known)
        return;
    if (limit_is_over(run->limit)) {
        ss_judge(&answer->check.why, SS_NOT_REACHED, "%s", "");
        return;
    }
    if (run->wanted.bitmap) {
        bitmap_check_named(answer->item.path, run->wanted.bitmap, run->limit, &answer->check.size, &answer->check.why);
        answer->check.content = true;
        return;
    }
    check_file(slot);
    pay(slot);
}

/* ---- the order ---- */

/* Is the answer known without a look? */
static bool is_known(struct verify_run *run, struct slot *slot)
{
    struct verify_answer *answer = &slot->answer;

    if (answer->item.sorry) {
        answer->check.why = *answer->item.sorry;
        return true;
    }
    const struct ss_verify_result *result =
        run->state && slot->has_st ? state_find(run->state, answer->item.path, &slot->st, slot->fs) : NULL;
    if (result) {
        ss_judge(&answer->check.why, result->finding, "%s", "");
        answer->check.content = result->content;
        answer->check.size = (uint64_t)slot->st.st_size;
        answer->remembered = true;
        return true;
    }
    uint64_t size = slot->has_st ? (uint64_t)slot->st.st_size : 0;
    if (run->wanted.level == SS_CHECK_QUICK && size > HEADER_SIZE)
        size = HEADER_SIZE;
    if (limit_may_begin(run->limit, size)) {
        bool absent = run->against && !answer->item.dir && absent_is(&run->absent, answer->item.path);
        if (absent)
            ss_judge(&answer->check.why, SS_NOT_FOUND, "%s", "");
        return absent;
    }
    ss_judge(&answer->check.why, SS_NOT_REACHED, "%s", "");
    answer->check.draft = ss_draftfile_named(answer->item.name);
    return true;
}

/* In a tree: a draft that is not wanted, or a file of ours that lies in it. */
static bool is_passed_over(const struct verify_run *run, const struct slot *slot)
{
    const struct stat *st = &slot->st;

    if (!slot->answer.item.dir)
        return false;
    if (run->skip_drafts && ss_draftfile_named(slot->answer.item.name))
        return true;
    return slot->has_st && ((run->own && st->st_dev == run->own->st_dev && st->st_ino == run->own->st_ino) ||
                            (run->state && state_is(run->state, st)));
}

/* Looks what is there, where that is of interest. */
static void look(const struct verify_run *run, struct slot *slot)
{
    const struct walk_item *item = &slot->answer.item;

    if ((!run->state && !run->limit->bytes && !run->own) || item->sorry || ss_draftfile_named(item->name))
        return;
    slot->has_st = walk_item_stat(item, &slot->st) == 0 && S_ISREG(slot->st.st_mode);
    if (slot->has_st && run->state)
        slot->fs = walk_item_fs(item, &slot->st);
}

/* The next of the walk; and after it what it should have found. */
static bool next_item(struct verify_run *run, struct walk_item *item)
{
    if (walk_next(run->walk, item))
        return true;
    if (run->missing || !run->recursive || !run->against)
        return false;
    size_t count = 0;
    run->missing = against_missing(run->against, run->paths, run->count, &count);
    walk_end(run->walk);
    run->walk = walk_start(run->missing, count, WALK_NAMED);
    return walk_next(run->walk, item);
}

static bool next(void *context, void *memory)
{
    struct verify_run *run = context;
    struct slot *slot = memory;
    struct walk_item *item = &slot->answer.item;

    memset(slot, 0, sizeof *slot);
    slot->run = run;
    do {
        walk_item_free(item);
        slot->has_st = false;
        if (limit_is_final(run->limit) || !next_item(run, item))
            return false;
        if (run->against && !item->sorry)
            against_note(run->against, item->path);
        look(run, slot);
    } while (is_passed_over(run, slot));
    walk_use(run->walk);
    slot->known = is_known(run, slot);
    return true;
}

/* What stays as it is while the file stays as it is. */
static bool worth_remembering(const struct slot *slot)
{
    const struct ss_check *check = &slot->answer.check;

    switch (ss_finding_text(check->why.finding)->class) {
    case SS_CLASS_INTACT:
    case SS_CLASS_DAMAGED:
    case SS_CLASS_UNKNOWN:
    case SS_CLASS_INCONSISTENT:
        return slot->has_st && !check->draft;
    case SS_CLASS_INVALID:
    case SS_CLASS_TEMPORARY:
        break;
    }
    return false;
}

/* What is not there any more is not in the tree, unless it is expected there. And a file in a directory that is an
 * image, with no seal, is part of that answer. */
static bool is_nothing(const struct verify_run *run, const struct verify_answer *answer)
{
    enum ss_finding finding = answer->check.why.finding;

    if (answer->item.part && finding == SS_UNSEALED)
        return true;
    return answer->item.dir && finding == SS_NOT_FOUND &&
           !(run->against && against_find(run->against, answer->item.path));
}

static void done(void *context, void *memory)
{
    struct verify_run *run = context;
    struct slot *slot = memory;
    struct verify_answer *answer = &slot->answer;

    if (!is_nothing(run, answer)) {
        meter_hide(&run->meter);
        run->answer(run->context, answer);
        meter_show(&run->meter);
    }
    if (run->state && !answer->remembered && worth_remembering(slot))
        state_add(run->state, answer->item.path, &slot->st, slot->fs, answer->check.why.finding, answer->check.content);
    walk_item_free(&answer->item);
}

/* A file for each job, and a directory for each that waits: the usual limit is for programs that use select(). */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* if it can not be, that is told of the file for which there is none */
    }
}

void verify_run(struct verify_run *run)
{
    static const struct queue_calls calls = {.next = next, .work = work, .done = done};

    /* What is listed with digests are files. */
    enum walk_mode mode = !run->recursive ? WALK_NAMED : run->digests || run->against ? WALK_FILES : WALK_IMAGES;

    raise_descriptors();
    run->walk = walk_start(run->paths, run->count, mode);
    pthread_mutex_init(&run->turn, NULL);
    ss_memory_init(&run->memory, SS_MEMORY_SHARED);
    meter_start(&run->meter, run->paths, run->count, mode, run->wanted.level == SS_CHECK_QUICK);
    queue_run(run->jobs, sizeof(struct slot), &calls, run);
    meter_end(&run->meter);
    ss_memory_destroy(&run->memory);
    pthread_mutex_destroy(&run->turn);
    walk_end(run->walk);
    free(run->missing);
    absent_free(&run->absent);
}
