#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/uio.h>

#include "digest_memo.h"
#include "digest_tree.h"
#include "hasher.h"
#include "thread.h"
#include "util.h"

#define BLOCK_SIZE SS_TREE_BLOCK
#define UNIT_SIZE SS_DIGEST_UNIT /* data below one block of hashes */
_Static_assert(UNIT_SIZE == (size_t)BLOCK_SIZE * SS_TREE_FANOUT, "a unit is what one block of hashes is of");

/* ---- text ---- */

void ss_sha256_format(const struct ss_sha256 *digest, char hex[SS_SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SS_SHA256_SIZE; i++) {
        hex[2 * i] = digits[digest->bytes[i] >> 4];
        hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    hex[SS_SHA256_HEX_SIZE - 1] = '\0';
}

/* The value of a lower-case hex digit, or -1. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int ss_sha256_parse(const char *hex, struct ss_sha256 *digest)
{
    struct ss_sha256 parsed;

    if (strnlen(hex, SS_SHA256_HEX_SIZE) != SS_SHA256_HEX_SIZE - 1)
        return -EBADMSG;
    for (size_t i = 0; i < SS_SHA256_SIZE; i++) {
        int high = hex_value(hex[2 * i]);
        int low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EBADMSG;
        parsed.bytes[i] = (unsigned char)(high << 4 | low);
    }
    *digest = parsed;
    return 0;
}

bool ss_sha256_equal(const struct ss_sha256 *a, const struct ss_sha256 *b)
{
    return memcmp(a->bytes, b->bytes, SS_SHA256_SIZE) == 0;
}

/* ---- SHA-256 ---- */

/* Is all of it in the page cache? Then it is read. */
static bool read_cached(int fd, void *buf, size_t len, uint64_t at)
{
    const struct iovec iov = {.iov_base = buf, .iov_len = len};

    return preadv2(fd, &iov, 1, (off_t)at, RWF_NOWAIT) == (ssize_t)len;
}

/* Reads exactly len bytes. */
static int read_exactly(int fd, void *buf, size_t len, uint64_t at)
{
    ssize_t n = ss_pread_full(fd, buf, len, (off_t)at);

    if (n < 0)
        return (int)n;
    return (size_t)n < len ? -ENODATA : 0;
}

int ss_digest_head(int fd, uint64_t len, struct ss_sha256 *digest)
{
    struct ss_hasher hasher;
    unsigned char buf[4 * BLOCK_SIZE]; /* headers are short */
    size_t chunk = sizeof buf;

    int err = ss_hasher_open(&hasher);
    for (uint64_t at = 0; err == 0 && at < len; at += chunk) {
        if (chunk > len - at)
            chunk = (size_t)(len - at);
        err = read_exactly(fd, buf, chunk, at);
        if (err == 0)
            ss_hasher_add(&hasher, buf, chunk);
    }
    if (err == 0)
        ss_hasher_finish(&hasher, digest);
    return err;
}

int ss_digest_of(const void *bytes, size_t len, struct ss_sha256 *digest)
{
    struct ss_hasher hasher;

    int err = ss_hasher_open(&hasher);
    if (err == 0)
        ss_hasher_digest(&hasher, bytes, len, digest);
    return err;
}

/* ---- fs-verity: the run ----
 *
 * The file is cut into units of 512 KiB, each of which yields one digest of level 1. Threads take units in order and
 * finish them in any; a ring of slots puts the digests back into order for the tree. */

#define AHEAD_UNITS 4  /* for each thread: what is digested ahead may be little */
#define MAX_THREADS 64 /* with a buffer of UNIT_SIZE and lanes each: 45 MiB */
#define RING_SIZE 256U /* how far a thread may be ahead of the slowest */
#define PROGRESS_STEP (UINT64_C(64) << 20)

struct slot {
    uint64_t units; /* 1, or as many as lie in a hole */
    struct ss_sha256 digest;
    bool hole;
    bool done;
};

struct source {
    int fd;
    uint64_t size;
    const struct ss_digest_run *how;
    bool ahead; /* only for the memo, and only what is cached: there is no tree */
};

struct run {
    struct source from;
    uint64_t units;

    pthread_mutex_t lock; /* guards everything below; progress is called with it held */
    pthread_cond_t moved; /* the ring has room again, or error is set */
    uint64_t next_unit;
    uint64_t taken, drained; /* slots since the start */
    uint64_t done_units, reported;
    int error; /* the first one; ends the run */
    struct slot ring[RING_SIZE];
    struct ss_hasher hasher;
    struct ss_digest_tree tree;
};

static uint64_t unit_len(const struct source *from, uint64_t unit)
{
    uint64_t rest = from->size - unit * UNIT_SIZE;

    return rest < UNIT_SIZE ? rest : UNIT_SIZE;
}

static int report(struct run *run)
{
    uint64_t done = run->done_units == run->units ? run->from.size : run->done_units * UNIT_SIZE;

    if (!run->from.how->progress || done - run->reported < PROGRESS_STEP)
        return 0;
    run->reported = done;
    return run->from.how->progress(run->from.how->context, done, run->from.size);
}

/* Moves the finished slots at the end of the ring into the tree. */
static void drain(struct run *run)
{
    while (run->error == 0 && run->drained < run->taken && run->ring[run->drained % RING_SIZE].done) {
        const struct slot *slot = &run->ring[run->drained++ % RING_SIZE];
        if (!run->from.ahead && slot->hole)
            ss_digest_tree_add_hole(&run->tree, &run->hasher, slot->units);
        else if (!run->from.ahead)
            ss_digest_tree_add(&run->tree, &run->hasher, &slot->digest);
        run->done_units += slot->units;
        run->error = report(run);
    }
    pthread_cond_broadcast(&run->moved);
}

/* How many whole units from this one on lie in a hole. The last unit never counts: it may be shorter than the others,
 * and reading it shows whether what looked like a hole was the end of the file. */
static uint64_t units_in_hole(const struct run *run, uint64_t unit)
{
    uint64_t last = run->units - 1;

    off_t data = lseek(run->from.fd, (off_t)(unit * UNIT_SIZE), SEEK_DATA);
    if (data < 0) /* ENXIO: no data any more. Else the file system can not tell, and all is data. */
        return errno == ENXIO ? last - unit : 0;
    uint64_t data_unit = (uint64_t)data / UNIT_SIZE;
    return (data_unit < last ? data_unit : last) - unit;
}

/* Takes the next unit that has data, with a slot for its digest. NULL: there is none, or the run has failed. */
static struct slot *take_unit(struct run *run, uint64_t *unit)
{
    struct slot *slot = NULL;

    pthread_mutex_lock(&run->lock);
    if (run->from.how->stop && atomic_load(run->from.how->stop) && run->error == 0)
        run->error = -ECANCELED;
    while (!slot && run->error == 0 && run->next_unit < run->units) {
        if (run->taken - run->drained == RING_SIZE) {
            pthread_cond_wait(&run->moved, &run->lock);
            continue;
        }
        uint64_t hole = units_in_hole(run, run->next_unit);
        slot = &run->ring[run->taken++ % RING_SIZE];
        *slot = (struct slot){.units = hole ? hole : 1, .hole = hole > 0, .done = hole > 0};
        *unit = run->next_unit;
        run->next_unit += slot->units;
        if (slot->hole) {
            slot = NULL;
            drain(run);
        }
    }
    pthread_mutex_unlock(&run->lock);
    return slot;
}

static void finish_unit(struct run *run, struct slot *slot, const struct ss_sha256 *digest, int err)
{
    pthread_mutex_lock(&run->lock);
    if (run->error == 0)
        run->error = err;
    slot->digest = *digest;
    slot->done = true;
    drain(run);
    pthread_mutex_unlock(&run->lock);
}

static bool is_zero(const unsigned char *block)
{
    return block[0] == 0 && memcmp(block, block + 1, BLOCK_SIZE - 1) == 0;
}

/* The digest of a unit of len bytes at buf, with room for whole blocks: that of its block of level 0; or, when the file
 * is one data block, of that. */
static void hash_blocks(struct ss_hasher *hasher, unsigned char *buf, size_t len, bool is_file,
                        struct ss_sha256 *digest)
{
    struct ss_sha256 block[SS_TREE_FANOUT] = {0};
    struct ss_hasher_job job[SS_TREE_FANOUT] = {0};
    size_t blocks = (len + BLOCK_SIZE - 1) / BLOCK_SIZE, jobs = 0;

    memset(buf + len, 0, blocks * BLOCK_SIZE - len);
    for (size_t i = 0; i < blocks; i++) {
        const unsigned char *data = buf + i * BLOCK_SIZE;
        if (is_zero(data)) /* disk images are full of them */
            block[i] = ss_digest_of_hole[0];
        else
            job[jobs++] = (struct ss_hasher_job){.bytes = data, .digest = &block[i]};
    }
    ss_hasher_digest_many(hasher, job, jobs, BLOCK_SIZE);
    if (is_file && blocks == 1)
        *digest = block[0];
    else
        ss_hasher_digest(hasher, block, sizeof block, digest);
}

static int hash_data(const struct source *from, struct ss_hasher *hasher, unsigned char *buf, uint64_t unit,
                     struct ss_sha256 *digest)
{
    size_t len = (size_t)unit_len(from, unit);

    int err = from->how->admit ? from->how->admit(from->how->context, len) : 0;
    if (err < 0)
        return err;
    if (!from->ahead)
        err = read_exactly(from->fd, buf, len, unit * UNIT_SIZE);
    else if (!read_cached(from->fd, buf, len, unit * UNIT_SIZE))
        err = -EAGAIN;
    if (err < 0)
        return err;
    if (from->how->drops)
        posix_fadvise(from->fd, (off_t)(unit * UNIT_SIZE), (off_t)len, POSIX_FADV_DONTNEED);
    hash_blocks(hasher, buf, len, from->size == len, digest);
    return 0;
}

static int hash_unit(const struct source *from, struct ss_hasher *hasher, unsigned char *buf, uint64_t unit,
                     struct ss_sha256 *digest)
{
    struct ss_digest_memo *memo = unit_len(from, unit) == UNIT_SIZE ? from->how->memo : NULL;

    if (memo && ss_digest_memo_find(memo, unit, digest))
        return 0;
    uint64_t begun = memo ? ss_digest_memo_begin(memo, unit) : 0;
    int err = hash_data(from, hasher, buf, unit, digest);
    if (err == 0 && begun)
        ss_digest_memo_put(memo, unit, begun, digest);
    return err == -EAGAIN && from->ahead ? 0 : err;
}

/* What a unit takes, whole blocks: in a small file less than elsewhere. */
static size_t unit_room(const struct source *from)
{
    return from->size < UNIT_SIZE ? ((size_t)from->size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE : UNIT_SIZE;
}

/* One thread's work: units, until there are no more. */
static void *work(void *argument)
{
    struct run *run = argument;
    struct ss_hasher hasher;
    SS_AUTO_FREE unsigned char *buf = aligned_alloc(BLOCK_SIZE, unit_room(&run->from));
    struct ss_sha256 digest = {0};
    struct slot *slot;
    uint64_t unit;

    int err = ss_hasher_open(&hasher);
    if (err == 0 && !buf)
        err = -ENOMEM;
    while ((slot = take_unit(run, &unit))) {
        if (err == 0)
            err = hash_unit(&run->from, &hasher, buf, unit, &digest);
        finish_unit(run, slot, &digest, err);
    }
    ss_hasher_close(&hasher);
    return NULL;
}

static unsigned thread_count(const struct run *run)
{
    unsigned count = run->from.how->threads;
    cpu_set_t cpus;

    if (count == 0)
        count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : MAX_THREADS;
    if (count > MAX_THREADS)
        count = MAX_THREADS;
    uint64_t wanted = run->units - run->next_unit;
    if (run->from.ahead)
        wanted = (wanted + AHEAD_UNITS - 1) / AHEAD_UNITS;
    return wanted < count ? (unsigned)wanted : count;
}

/* Works with the calling thread and as many more as can be had. */
static void work_together(struct run *run)
{
    pthread_t helper[MAX_THREADS];
    unsigned wanted = thread_count(run);
    unsigned helpers = 0;

    while (helpers + 1 < wanted && ss_thread_start(&helper[helpers], work, run) == 0)
        helpers++;
    work(run);
    while (helpers > 0)
        pthread_join(helper[--helpers], NULL);
}

/* Computes the root digest of the file's tree. */
static int run_tree(struct run *run, struct ss_sha256 *root)
{
    /* SEEK_DATA moves the offset, which the descriptor may share with others. */
    off_t offset = lseek(run->from.fd, 0, SEEK_CUR);
    posix_fadvise(run->from.fd, 0, (off_t)run->from.size, POSIX_FADV_SEQUENTIAL);
    work_together(run);
    if (offset >= 0)
        lseek(run->from.fd, offset, SEEK_SET);

    if (run->error == 0 && !run->from.ahead)
        ss_digest_tree_root(&run->tree, &run->hasher, root);
    return run->error;
}

/* The digest of the fs-verity descriptor is the digest of the file. */
static void hash_descriptor(struct ss_hasher *hasher, uint64_t size, const struct ss_sha256 *root,
                            struct ss_sha256 *digest)
{
    unsigned char descriptor[256] = {
        [0] = 1,  /* version */
        [1] = 1,  /* SHA-256 */
        [2] = 12, /* log2 of the block size */
    };

    for (unsigned i = 0; i < 8; i++)
        descriptor[8 + i] = (unsigned char)(size >> (8 * i));
    memcpy(descriptor + 16, root->bytes, sizeof root->bytes);
    ss_hasher_digest(hasher, descriptor, sizeof descriptor, digest);
}

static struct run *new_run(const struct source *from)
{
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->from = *from;
    run->units = from->size / UNIT_SIZE + (from->size % UNIT_SIZE > 0);
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->moved, NULL);
    return run;
}

static void free_run(struct run *run)
{
    pthread_cond_destroy(&run->moved);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

/* One unit needs neither threads nor a tree. */
static int digest_small(const struct source *from, struct ss_sha256 *digest)
{
    struct ss_hasher hasher;
    SS_AUTO_FREE unsigned char *buf = from->size > 0 ? aligned_alloc(BLOCK_SIZE, unit_room(from)) : NULL;
    struct ss_sha256 root = {0}; /* of an empty file */

    if (from->how->stop && atomic_load(from->how->stop))
        return -ECANCELED;
    int err = ss_hasher_open(&hasher);
    if (err == 0 && !buf && from->size > 0)
        err = -ENOMEM;
    if (err == 0 && from->size > 0)
        err = hash_unit(from, &hasher, buf, 0, &root);
    if (err == 0)
        hash_descriptor(&hasher, from->size, &root, digest);
    return err;
}

static int digest_large(const struct source *from, struct ss_sha256 *digest)
{
    struct ss_sha256 root;

    struct run *run = new_run(from);
    if (!run)
        return -ENOMEM;
    int err = ss_hasher_open(&run->hasher);
    if (err == 0)
        err = run_tree(run, &root);
    if (err == 0)
        hash_descriptor(&run->hasher, from->size, &root, digest);
    free_run(run);
    return err;
}

int ss_digest_verity(int fd, uint64_t size, const struct ss_digest_run *how, struct ss_sha256 *digest)
{
    static const struct ss_digest_run default_run;
    const struct source from = {.fd = fd, .size = size, .how = how ? how : &default_run};

    if (size > INT64_MAX)
        return -ENODATA; /* no file is that long */
    return size <= UNIT_SIZE ? digest_small(&from, digest) : digest_large(&from, digest);
}

int ss_digest_verity_of(void *bytes, size_t size, struct ss_sha256 *digest)
{
    struct ss_hasher hasher;
    struct ss_sha256 root = {0}; /* of an empty file */

    int err = ss_hasher_open(&hasher);
    if (err < 0)
        return err;
    if (size > 0)
        hash_blocks(&hasher, bytes, size, true, &root);
    hash_descriptor(&hasher, size, &root, digest);
    return 0;
}

int ss_digest_ahead(int fd, uint64_t from, uint64_t size, const struct ss_digest_run *how)
{
    const struct source source = {.fd = fd, .size = size, .how = how, .ahead = true};
    uint64_t end = ss_digest_memo_end(how->memo);
    struct ss_sha256 none;
    int err = 0;

    struct run *run = new_run(&source);
    if (!run)
        return -ENOMEM;
    run->units = size / UNIT_SIZE < end ? size / UNIT_SIZE : end; /* whole ones */
    run->next_unit = ss_digest_memo_first_unknown(how->memo, from / UNIT_SIZE);
    if (run->next_unit < run->units)
        err = run_tree(run, &none);
    free_run(run);
    return err;
}
