#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>

#include "digest_memo.h"
#include "hasher.h"
#include "util.h"

#define BLOCK_SIZE 4096U
#define HASHES_PER_BLOCK (BLOCK_SIZE / SS_SHA256_SIZE)
#define UNIT_SIZE SS_DIGEST_UNIT /* data below one block of hashes */
_Static_assert(UNIT_SIZE == (size_t)BLOCK_SIZE * HASHES_PER_BLOCK, "a unit is what one block of hashes is of");

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

static int hash(struct ss_hasher *hasher, const void *bytes, size_t len, struct ss_sha256 *digest)
{
    int err = ss_hasher_add(hasher, bytes, len);

    return err < 0 ? err : ss_hasher_finish(hasher, digest);
}

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
    SS_AUTO_HASHER struct ss_hasher hasher = {0};
    unsigned char buf[4 * BLOCK_SIZE]; /* headers are short */
    size_t chunk = sizeof buf;

    int err = ss_hasher_open(&hasher);
    for (uint64_t at = 0; err == 0 && at < len; at += chunk) {
        if (chunk > len - at)
            chunk = (size_t)(len - at);
        err = read_exactly(fd, buf, chunk, at);
        if (err == 0)
            err = ss_hasher_add(&hasher, buf, chunk);
    }
    return err < 0 ? err : ss_hasher_finish(&hasher, digest);
}

/* ---- fs-verity: the tree above the units ----
 *
 * Level 0 holds the digests of data blocks, level n + 1 those of the blocks of level n, 128 in a block, the last block
 * of a level filled up with zeros; the root is the digest of the one block at the top. Only the block in work of each
 * level is kept, so digests must come in order. */

#define LEVELS 9     /* 7 bits each and 12 for the data block: more than the 63 bits of a file size */
#define UNIT_LEVEL 1 /* where the tree begins: one digest for each unit of data */

struct tree {
    struct ss_hasher hasher;
    struct ss_sha256 zero[LEVELS + 1]; /* what each level is made of below a hole */
    struct {
        struct ss_sha256 block[HASHES_PER_BLOCK];
        size_t count;
        bool complete_block; /* one was already passed on to the next level */
    } level[LEVELS];
};

/* Computes the digests that stand for holes. */
static int tree_init(struct tree *tree)
{
    struct ss_sha256 block[HASHES_PER_BLOCK] = {0};

    int err = ss_hasher_open(&tree->hasher);
    for (size_t i = 0; err == 0 && i <= LEVELS; i++) {
        err = hash(&tree->hasher, block, sizeof block, &tree->zero[i]);
        for (size_t j = 0; j < HASHES_PER_BLOCK; j++)
            block[j] = tree->zero[i];
    }
    return err;
}

static int tree_add(struct tree *tree, unsigned level, const struct ss_sha256 *digest);

/* Hands the block in work of a level, filled up with zeros, to the next level. */
static int tree_pass_on(struct tree *tree, unsigned level)
{
    struct ss_sha256 *block = tree->level[level].block;
    size_t count = tree->level[level].count;
    struct ss_sha256 digest;

    memset(block + count, 0, (HASHES_PER_BLOCK - count) * sizeof *block);
    tree->level[level].count = 0;
    tree->level[level].complete_block = true;
    int err = hash(&tree->hasher, block, BLOCK_SIZE, &digest);
    return err < 0 ? err : tree_add(tree, level + 1, &digest);
}

static int tree_add(struct tree *tree, unsigned level, const struct ss_sha256 *digest)
{
    tree->level[level].block[tree->level[level].count++] = *digest;
    return tree->level[level].count == HASHES_PER_BLOCK ? tree_pass_on(tree, level) : 0;
}

/* Adds count digests of a hole to a level, whole blocks of them at once on the next. */
static int tree_add_hole(struct tree *tree, unsigned level, uint64_t count)
{
    int err = 0;

    while (err == 0 && count > 0) {
        uint64_t blocks = tree->level[level].count == 0 ? count / HASHES_PER_BLOCK : 0;
        if (blocks > 0) {
            tree->level[level].complete_block = true;
            err = tree_add_hole(tree, level + 1, blocks);
            count -= blocks * HASHES_PER_BLOCK;
        } else {
            err = tree_add(tree, level, &tree->zero[level]);
            count--;
        }
    }
    return err;
}

/* Finds the root above everything that was added. */
static int tree_root(struct tree *tree, struct ss_sha256 *root)
{
    unsigned level = UNIT_LEVEL;
    int err = 0;

    while (err == 0 && (tree->level[level].complete_block || tree->level[level].count > 1)) {
        if (tree->level[level].count > 0)
            err = tree_pass_on(tree, level);
        level++;
    }
    *root = tree->level[level].block[0];
    return err;
}

/* ---- fs-verity: the run ----
 *
 * The file is cut into units of 512 KiB, each of which yields one digest of level 1. Threads take units in order and
 * finish them in any; a ring of slots puts the digests back into order for the tree. */

#define MAX_THREADS 64 /* with a buffer of UNIT_SIZE each: 32 MiB */
#define RING_SIZE 256U /* how far a thread may be ahead of the slowest */
#define PROGRESS_STEP (UINT64_C(64) << 20)

struct slot {
    uint64_t units; /* 1, or as many as lie in a hole */
    struct ss_sha256 digest;
    bool hole;
    bool done;
};

struct run {
    int fd;
    uint64_t size, units;
    const struct ss_digest_run *how;
    bool ahead; /* only for the memo, and only what is cached: there is no tree */

    pthread_mutex_t lock; /* guards everything below; progress is called with it held */
    pthread_cond_t moved; /* the ring has room again, or error is set */
    uint64_t next_unit;
    uint64_t taken, drained; /* slots since the start */
    uint64_t done_units, reported;
    int error; /* the first one; ends the run */
    struct slot ring[RING_SIZE];
    struct tree tree;
};

static uint64_t unit_len(const struct run *run, uint64_t unit)
{
    uint64_t rest = run->size - unit * UNIT_SIZE;

    return rest < UNIT_SIZE ? rest : UNIT_SIZE;
}

static int report(struct run *run)
{
    uint64_t done = run->done_units == run->units ? run->size : run->done_units * UNIT_SIZE;

    if (!run->how->progress || done - run->reported < PROGRESS_STEP)
        return 0;
    run->reported = done;
    return run->how->progress(run->how->context, done, run->size);
}

/* Moves the finished slots at the end of the ring into the tree. */
static void drain(struct run *run)
{
    struct tree *tree = &run->tree;

    while (run->error == 0 && run->drained < run->taken && run->ring[run->drained % RING_SIZE].done) {
        const struct slot *slot = &run->ring[run->drained++ % RING_SIZE];
        if (!run->ahead)
            run->error =
                slot->hole ? tree_add_hole(tree, UNIT_LEVEL, slot->units) : tree_add(tree, UNIT_LEVEL, &slot->digest);
        run->done_units += slot->units;
        if (run->error == 0)
            run->error = report(run);
    }
    pthread_cond_broadcast(&run->moved);
}

/* How many whole units from this one on lie in a hole. The last unit never counts: it may be shorter than the others,
 * and reading it shows whether what looked like a hole was the end of the file. */
static uint64_t units_in_hole(const struct run *run, uint64_t unit)
{
    uint64_t last = run->units - 1;

    off_t data = lseek(run->fd, (off_t)(unit * UNIT_SIZE), SEEK_DATA);
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
    if (run->how->stop && atomic_load(run->how->stop) && run->error == 0)
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

/* Computes the digest of a unit: that of its block of level 0, or, when the file is one data block, of that. */
static int hash_data(const struct run *run, struct ss_hasher *hasher, unsigned char *buf, uint64_t unit,
                     struct ss_sha256 *digest)
{
    struct ss_sha256 block[HASHES_PER_BLOCK] = {0};
    size_t len = (size_t)unit_len(run, unit);
    size_t blocks = (len + BLOCK_SIZE - 1) / BLOCK_SIZE;

    int err = 0;
    if (!run->ahead)
        err = read_exactly(run->fd, buf, len, unit * UNIT_SIZE);
    else if (!read_cached(run->fd, buf, len, unit * UNIT_SIZE))
        err = -EAGAIN;
    if (err < 0)
        return err;
    if (run->how->drops)
        posix_fadvise(run->fd, (off_t)(unit * UNIT_SIZE), (off_t)len, POSIX_FADV_DONTNEED);
    memset(buf + len, 0, blocks * BLOCK_SIZE - len);
    for (size_t i = 0; err == 0 && i < blocks; i++) {
        const unsigned char *data = buf + i * BLOCK_SIZE;
        if (is_zero(data)) /* disk images are full of them */
            block[i] = run->tree.zero[0];
        else
            err = hash(hasher, data, BLOCK_SIZE, &block[i]);
    }
    if (run->size <= BLOCK_SIZE)
        *digest = block[0];
    else if (err == 0)
        err = hash(hasher, block, sizeof block, digest);
    return err;
}

static int hash_unit(const struct run *run, struct ss_hasher *hasher, unsigned char *buf, uint64_t unit,
                     struct ss_sha256 *digest)
{
    struct ss_digest_memo *memo = unit_len(run, unit) == UNIT_SIZE ? run->how->memo : NULL;

    if (memo && ss_digest_memo_find(memo, unit, digest))
        return 0;
    uint64_t begun = memo ? ss_digest_memo_begin(memo, unit) : 0;
    int err = hash_data(run, hasher, buf, unit, digest);
    if (err == 0 && begun)
        ss_digest_memo_put(memo, unit, begun, digest);
    return err == -EAGAIN && run->ahead ? 0 : err;
}

/* What a unit takes, whole blocks: in a small file less than elsewhere. */
static size_t unit_room(const struct run *run)
{
    return run->size < UNIT_SIZE ? ((size_t)run->size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE : UNIT_SIZE;
}

/* One thread's work: units, until there are no more. */
static void *work(void *argument)
{
    struct run *run = argument;
    SS_AUTO_HASHER struct ss_hasher hasher = {0};
    SS_AUTO_FREE unsigned char *buf = aligned_alloc(BLOCK_SIZE, unit_room(run));
    struct ss_sha256 digest = {0};
    struct slot *slot;
    uint64_t unit;

    int err = ss_hasher_open(&hasher);
    if (err == 0 && !buf)
        err = -ENOMEM;
    while ((slot = take_unit(run, &unit))) {
        if (err == 0)
            err = hash_unit(run, &hasher, buf, unit, &digest);
        finish_unit(run, slot, &digest, err);
    }
    return NULL;
}

static unsigned thread_count(const struct run *run)
{
    unsigned count = run->how->threads;
    cpu_set_t cpus;

    if (count == 0)
        count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : MAX_THREADS;
    if (count > MAX_THREADS)
        count = MAX_THREADS;
    return run->units < count ? (unsigned)run->units : count;
}

/* Works with the calling thread and as many more as can be had. */
static void work_together(struct run *run)
{
    pthread_t helper[MAX_THREADS];
    unsigned wanted = thread_count(run);
    unsigned helpers = 0;
    sigset_t all, before;

    /* The host program's signal handlers must not run in threads that it does not know. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (helpers + 1 < wanted && pthread_create(&helper[helpers], NULL, work, run) == 0)
        helpers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    work(run);
    while (helpers > 0)
        pthread_join(helper[--helpers], NULL);
}

/* Computes the root digest of the file's tree. */
static int run_tree(struct run *run, struct ss_sha256 *root)
{
    /* SEEK_DATA moves the offset, which the descriptor may share with others. */
    off_t offset = lseek(run->fd, 0, SEEK_CUR);
    posix_fadvise(run->fd, 0, (off_t)run->size, POSIX_FADV_SEQUENTIAL);
    work_together(run);
    if (offset >= 0)
        lseek(run->fd, offset, SEEK_SET);

    return run->error != 0 ? run->error : tree_root(&run->tree, root);
}

/* The digest of the fs-verity descriptor is the digest of the file. */
static int hash_descriptor(struct ss_hasher *hasher, uint64_t size, const struct ss_sha256 *root,
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
    return hash(hasher, descriptor, sizeof descriptor, digest);
}

static struct run *new_run(int fd, uint64_t size, const struct ss_digest_run *how)
{
    static const struct ss_digest_run default_run;
    struct run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->fd = fd;
    run->size = size;
    run->units = size / UNIT_SIZE + (size % UNIT_SIZE > 0);
    run->how = how ? how : &default_run;
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

int ss_digest_verity(int fd, uint64_t size, const struct ss_digest_run *how, struct ss_sha256 *digest)
{
    struct ss_sha256 root = {0}; /* of an empty file */

    if (size > INT64_MAX)
        return -ENODATA; /* no file is that long */
    struct run *run = new_run(fd, size, how);
    if (!run)
        return -ENOMEM;
    int err = tree_init(&run->tree);
    if (err == 0 && size > 0)
        err = run_tree(run, &root);
    if (err == 0)
        err = hash_descriptor(&run->tree.hasher, size, &root, digest);
    ss_hasher_close(&run->tree.hasher);
    free_run(run);
    return err;
}

int ss_digest_ahead(int fd, uint64_t size, const struct ss_digest_run *how)
{
    uint64_t end = ss_digest_memo_end(how->memo);
    struct ss_sha256 none;

    struct run *run = new_run(fd, size, how);
    if (!run)
        return -ENOMEM;
    run->ahead = true;
    run->units = size / UNIT_SIZE < end ? size / UNIT_SIZE : end; /* whole ones */
    run->next_unit = ss_digest_memo_first_unknown(how->memo);
    int err = tree_init(&run->tree);
    if (err == 0 && run->next_unit < run->units)
        err = run_tree(run, &none);
    ss_hasher_close(&run->tree.hasher);
    free_run(run);
    return err;
}
