#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/digest_memo.h"
#include "core/digest_tree.h"
#include "core/util.h"
#include "file.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define UNIT (UINT64_C(128) * 4096) /* data below one block of hashes */
#define WINDOW (128 * UNIT)         /* data below one block of those */

/* A file of bytes that repeat nowhere: the known answers below are of these. */
static int generated_file(uint64_t size)
{
    SS_AUTO_FREE unsigned char *bytes = malloc(size + 1);
    uint64_t x = 1;
    int fd = temp_file();

    assert_non_null(bytes);
    for (uint64_t i = 0; i < size; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(x >> 56);
    }
    put(fd, bytes, size, 0);
    return fd;
}

/* A sparse file with one byte in two units of three. */
static int spotted_file(uint64_t units)
{
    int fd = temp_file();

    assert_int_equal(ftruncate(fd, (off_t)(units * UNIT)), 0);
    for (uint64_t i = 0; i < units; i++) {
        if (i % 3 > 0)
            put(fd, "x", 1, i * UNIT + i);
    }
    return fd;
}

static void assert_digest(const struct ss_sha256 *digest, const char *hex)
{
    char text[SS_SHA256_HEX_SIZE];

    ss_sha256_format(digest, text);
    assert_string_equal(text, hex);
}

static void assert_verity(int fd, uint64_t size, unsigned threads, const char *hex)
{
    const struct ss_digest_run run = {.threads = threads};
    struct ss_sha256 digest;

    assert_int_equal(ss_digest_verity(fd, size, &run, &digest), 0);
    assert_digest(&digest, hex);
}

/* The constants, computed. */
static void test_holes(void **state)
{
    (void)state;
    struct ss_sha256 digest, block[SS_TREE_FANOUT] = {0};
    struct ss_hasher hasher;

    assert_int_equal(ss_hasher_open(&hasher), 0);
    for (unsigned level = 0; level <= SS_TREE_LEVELS; level++) {
        ss_hasher_digest(&hasher, block, sizeof block, &digest);
        assert_true(ss_sha256_equal(&digest, &ss_digest_of_hole[level]));
        for (unsigned i = 0; i < SS_TREE_FANOUT; i++)
            block[i] = digest;
    }
}

static void test_hex(void **state)
{
    (void)state;
    static const char good[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    static const char *const bad[] = {"/", ":", "`", "g", "A", "F", " ", "\xff", "x"};
    struct ss_sha256 digest, same, other;

    assert_int_equal(ss_sha256_parse(good, &digest), 0);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(digest.bytes[i], i);
    assert_int_equal(digest.bytes[31], 0xff);
    assert_digest(&digest, good);
    same = digest;
    assert_true(ss_sha256_equal(&digest, &same));

    for (size_t at = 0; at < 64; at++) {
        char text[66];
        for (size_t i = 0; i < SS_ARRAY_SIZE(bad); i++) {
            memcpy(text, good, sizeof good);
            text[at] = bad[i][0];
            assert_int_equal(ss_sha256_parse(text, &same), -EBADMSG);
        }
        text[at] = '\0';
        assert_int_equal(ss_sha256_parse(text, &same), -EBADMSG);
        memcpy(text, good, sizeof good);
        text[at] = good[at] == '7' ? '8' : '7';
        assert_int_equal(ss_sha256_parse(text, &other), 0);
        assert_false(ss_sha256_equal(&digest, &other));
    }
    assert_int_equal(ss_sha256_parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff0", &same),
                     -EBADMSG);
    assert_true(ss_sha256_equal(&digest, &same)); /* still: errors leave it alone */
}

/* Known answers: FIPS 180-2. */
static void test_head(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    static char million[1000000];
    struct ss_sha256 digest;

    assert_int_equal(ss_digest_head(fd, 0, &digest), 0);
    assert_digest(&digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(ss_digest_head(fd, 1, &digest), -ENODATA);

    put(fd, "abcd", 4, 0);
    assert_int_equal(ss_digest_head(fd, 3, &digest), 0);
    assert_digest(&digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(ss_digest_head(fd, 5, &digest), -ENODATA);

    memset(million, 'a', sizeof million);
    put(fd, million, sizeof million, 0);
    assert_int_equal(lseek(fd, 17, SEEK_SET), 17);
    assert_int_equal(ss_digest_head(fd, 1000000, &digest), 0);
    assert_digest(&digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 17);
    assert_int_equal(ss_digest_head(fd, 1000001, &digest), -ENODATA);
    assert_int_equal(ss_digest_head(fd, UINT64_MAX, &digest), -ENODATA);
    assert_int_equal(ss_digest_head(-1, 1, &digest), -EBADF);
    assert_digest(&digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Known answers: fsverity digest --compact of fsverity-utils 1.5. */
static void test_verity(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *hex;
    } cases[] = {
        {0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
        {1, "07a0fe2209ad199ac85e8eb9742d2e4438e1346f3e627d2d8b011d4c8a3ad6e0"},
        {4095, "64ce28f26a1a17a28684c3572c7382efc3b1a0d8bad5853feaf4ee0eba0621e5"},
        {4096, "de7098ff69347ead356ee53dd8a12222e4f81dd8e2923d2c3de6e2dfa3f780d7"},
        {4097, "1406acd441da56d80b17d1d095f111f2f5ff5f9ffd6053e4cf5c848ec9087a52"},
        {8192, "bbf77e06f84ab55a320b7c4594e3133e342ca39503d0d17591c12e59ff60760b"},
        {UNIT - 4096, "d7f0d9d133aaf3fcf7ccad722c48c53e68afb62ab37ae75242364ebcc47ddc70"},
        {UNIT - 1, "909bdfd9d304cc33d7432c26b785d03b3ceb3a1411c86c70ceda4e0d4ca5949d"},
        {UNIT, "24e587ed8610cfe6a8eb840602174700c5f6dbe018615a8c30edb5a260b9bf2e"},
        {UNIT + 1, "d151adbae0d990c94e2aa1ec101c0a1b6008e5970160cadf80eb54192e7c5298"},
        {2 * UNIT - 1, "d6cc166bac967e3f2c3d9c23468393926a709ce30713cdc0869c2edc32b1cb19"},
        {2 * UNIT, "1e06315eb695108fe3f70dd87a3ca9f18d7ec0c260672f89cdecd7fb882f4d6a"},
        {2 * UNIT + 1, "09752aa40718ea3bc954c2a2ddf6efd916641bd411725de90f2f7ae870af1f36"},
        {WINDOW - 1, "f65ece404913a8eb74bf7c99db0d54dbad8003303f25653e971f90b25ca7556b"},
        {WINDOW, "4b7a787d8e1cc5c43a7baed8e6a20ff279564e36bd46c67a594aba1a022ba9be"},
        {WINDOW + 1, "b95ffeab279c9390bbe12f159d4efea61720edeb6a4297a0acbbe40062c21f27"},
        {WINDOW + UNIT, "a0e5a325eaa411277aa0a742089af81980e127b30364b8f07a8510efd95faae3"},
        {WINDOW + UNIT + 4097, "d669857a076eb4e82d525967723f1eba7069d483e3b6d82771bb416baa5dc8a8"},
    };
    static const unsigned threads[] = {0, 1, 2, 5, 1000};
    SS_AUTO_CLOSE int fd = generated_file(cases[SS_ARRAY_SIZE(cases) - 1].size);

    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        for (size_t j = 0; j < SS_ARRAY_SIZE(threads); j++)
            assert_verity(fd, cases[i].size, threads[j], cases[i].hex);
    }
}

/* Blocks of one byte again and again are no holes but for one byte. Known answers: fsverity digest --compact. */
static void test_verity_monotone(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    char bytes[10000];

    memset(bytes, 'a', sizeof bytes);
    put(fd, bytes, sizeof bytes, 0);
    assert_verity(fd, sizeof bytes, 0, "94176b4d6a6edcc136ca792563b49fda1a39855842ed419194136dda51c5d6de");
    memset(bytes, 0xff, sizeof bytes);
    put(fd, bytes, sizeof bytes, 0);
    assert_verity(fd, 4096, 0, "fed53cb68b9483871984a143b5a256e5b83969bdfd79d929d9f49bcc98140428");
}

/* More threads than cores over more units than a thread may be ahead. Known answer: fsverity digest --compact. */
static void test_verity_crowd(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = spotted_file(2048);

    alarm(100);
    for (int i = 0; i < 3; i++)
        assert_verity(fd, 2048 * UNIT, 64, "bd60d124962196b3cd7a0f68965eecd703e4aa6b630c48037bb7cc2663b7aed2");
    alarm(0);
}

/* Holes count as the zeros that they read as. Known answer: fsverity digest --compact. */
static void test_verity_holes(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();

    put(fd, "first", 5, 0);
    put(fd, "middle", 6, 2 * GIB + 77);
    put(fd, "last", 4, 5 * GIB - 4);
    assert_verity(fd, 5 * GIB, 0, "17a193dfd280edfcd7caf29d6c5189be6b373b9c5b080894818639e3ec5d126e");
    assert_verity(fd, 5 * GIB, 3, "17a193dfd280edfcd7caf29d6c5189be6b373b9c5b080894818639e3ec5d126e");
}

/* The same bytes with holes and without: where data begins and ends around the limits of units and windows. */
static void test_verity_hole_limits(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1,
                                     4096,
                                     4097,
                                     UNIT - 1,
                                     UNIT,
                                     UNIT + 1,
                                     3 * UNIT,
                                     5 * UNIT + 1,
                                     WINDOW - 1,
                                     WINDOW + 1,
                                     WINDOW + 3 * UNIT,
                                     2 * WINDOW};
    static const uint64_t data[] = {UINT64_MAX, 0, 4096, UNIT - 1, UNIT, 2 * UNIT, 4 * UNIT + 5, WINDOW - 1, WINDOW};
    SS_AUTO_FREE char *zeros = calloc(1, 2 * WINDOW);
    assert_non_null(zeros);

    for (size_t i = 0; i < SS_ARRAY_SIZE(sizes); i++) {
        SS_AUTO_CLOSE int dense = temp_file();
        put(dense, zeros, sizes[i], 0);
        for (size_t j = 0; j < SS_ARRAY_SIZE(data); j++) {
            SS_AUTO_CLOSE int sparse = temp_file();
            struct ss_sha256 expected, digest;
            assert_int_equal(ftruncate(sparse, (off_t)sizes[i]), 0);
            if (data[j] < sizes[i]) {
                put(dense, "x", 1, data[j]);
                put(sparse, "x", 1, data[j]);
            }
            assert_int_equal(ss_digest_verity(dense, sizes[i], NULL, &expected), 0);
            assert_int_equal(ss_digest_verity(sparse, sizes[i], NULL, &digest), 0);
            assert_true(ss_sha256_equal(&digest, &expected));
            /* What lies behind the bytes that were asked for is nothing to it. */
            put(sparse, "x", 1, sizes[i] + 9 * UNIT);
            assert_int_equal(ss_digest_verity(sparse, sizes[i], NULL, &digest), 0);
            assert_true(ss_sha256_equal(&digest, &expected));
            if (data[j] < sizes[i])
                put(dense, "", 1, data[j]);
        }
    }
}

/* A file of 1 TiB with 8 bytes of data. Reading it would take many minutes; known answer: computed by hand, with one
 * digest for all equal blocks of a level. */
static void test_verity_huge(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();

    if (ftruncate(fd, (off_t)(1024 * GIB)) < 0)
        skip();
    put(fd, "saveseal", 8, UINT64_C(500000000000));
    alarm(60);
    assert_verity(fd, 1024 * GIB, 0, "e30264ea370de70580b4b3769871e27368632c47fe700bf82ad122176b7b7ee6");
    alarm(0);
}

static void test_verity_errors(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    int pipe_fds[2];
    struct ss_sha256 digest;

    assert_int_equal(ss_digest_verity(fd, 1, NULL, &digest), -ENODATA);
    assert_int_equal(ftruncate(fd, 3 * (off_t)MIB), 0);
    assert_int_equal(ss_digest_verity(fd, 3 * MIB + 1, NULL, &digest), -ENODATA);
    assert_int_equal(ss_digest_verity(fd, 4 * MIB, NULL, &digest), -ENODATA);
    assert_int_equal(ss_digest_verity(fd, INT64_MAX, NULL, &digest), -ENODATA);
    assert_int_equal(ss_digest_verity(fd, UINT64_C(1) << 63, NULL, &digest), -ENODATA);
    assert_int_equal(ss_digest_verity(fd, UINT64_MAX, NULL, &digest), -ENODATA);
    assert_int_equal(ss_digest_verity(-1, 3 * MIB, NULL, &digest), -EBADF);

    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(ss_digest_verity(pipe_fds[0], 3 * MIB, NULL, &digest), -ESPIPE);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_offset_kept(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = generated_file(2 * MIB);
    struct ss_sha256 digest;

    assert_int_equal(lseek(fd, 12345, SEEK_SET), 12345);
    assert_int_equal(ss_digest_verity(fd, 2 * MIB, NULL, &digest), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 12345);
    assert_int_equal(ss_digest_verity(fd, 2 * MIB + 1, NULL, &digest), -ENODATA);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 12345);
}

struct seen {
    uint64_t size, last;
    int calls, stop_at, result;
    bool wrong; /* a failed assertion must not jump out of another thread */
};

static int see(void *context, uint64_t done, uint64_t size)
{
    struct seen *seen = context;

    if (size != seen->size || done < seen->last + 64 * MIB || done > size)
        seen->wrong = true;
    seen->last = done;
    return ++seen->calls == seen->stop_at ? seen->result : 0;
}

static void test_progress(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    struct seen seen = {.size = 200 * MIB + 1};
    struct ss_digest_run run = {.threads = 3, .progress = see, .context = &seen};
    struct ss_sha256 digest;

    /* Data in each unit, so that none of them is skipped. */
    for (uint64_t at = 0; at < seen.size; at += UNIT)
        put(fd, "x", 1, at);
    assert_int_equal(ss_digest_verity(fd, seen.size, &run, &digest), 0);
    assert_int_equal(seen.calls, 3);
    assert_false(seen.wrong);

    seen = (struct seen){.size = 200 * MIB + 1, .stop_at = 2, .result = -ECANCELED};
    assert_int_equal(ss_digest_verity(fd, seen.size, &run, &digest), -ECANCELED);
    assert_int_equal(seen.calls, 2);
    assert_false(seen.wrong);

    /* One hole is one step. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(ftruncate(fd, (off_t)(200 * MIB + 1)), 0);
    seen = (struct seen){.size = 200 * MIB + 1};
    assert_int_equal(ss_digest_verity(fd, seen.size, &run, &digest), 0);
    assert_int_equal(seen.calls, 1);
    assert_false(seen.wrong);
}

struct trouble {
    int fd;
    atomic_bool over;
};

static void *shrink_and_grow(void *argument)
{
    struct trouble *trouble = argument;

    while (!atomic_load(&trouble->over)) {
        if (ftruncate(trouble->fd, (off_t)(UNIT + 5)) < 0 || ftruncate(trouble->fd, (off_t)(8 * MIB)) < 0 ||
            pwrite(trouble->fd, "x", 1, (off_t)(4 * MIB)) < 0)
            break;
    }
    return NULL;
}

/* A file that changes its size all the time: an answer or -ENODATA, no crash. */
static void test_moving_file(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    const struct ss_digest_run run = {.threads = 4};
    struct trouble trouble = {.fd = fd};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, shrink_and_grow, &trouble), 0);
    for (int i = 0; i < 200; i++) {
        struct ss_sha256 digest;
        int err = ss_digest_verity(fd, 8 * MIB, &run, &digest);
        if (err != 0)
            assert_int_equal(err, -ENODATA);
    }
    atomic_store(&trouble.over, true);
    pthread_join(thread, NULL);
}

struct masks {
    pthread_t caller;
    bool helped, wrong;
};

static int look_at_mask(void *context, uint64_t done, uint64_t size)
{
    struct masks *masks = context;
    sigset_t now;

    (void)done, (void)size;
    if (pthread_equal(pthread_self(), masks->caller))
        return 0;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    masks->helped = true;
    if (!sigismember(&now, SIGUSR1) || !sigismember(&now, SIGALRM))
        masks->wrong = true;
    return 0;
}

/* The program's signal handlers run in its own threads only, and its mask stays what it was. */
static void test_signals(void **state)
{
    (void)state;
    struct masks masks = {.caller = pthread_self()};
    const struct ss_digest_run run = {.threads = 4, .progress = look_at_mask, .context = &masks};
    struct ss_sha256 digest;
    sigset_t now;
    SS_AUTO_CLOSE int fd = spotted_file(512);

    for (int i = 0; i < 100 && !masks.helped; i++)
        assert_int_equal(ss_digest_verity(fd, 512 * UNIT, &run, &digest), 0);
    assert_true(masks.helped);
    assert_false(masks.wrong);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    assert_false(sigismember(&now, SIGUSR1));
}

static void assert_same_with(int fd, uint64_t size, struct ss_digest_memo *memo)
{
    const struct ss_digest_run how = {.memo = memo};
    struct ss_sha256 plain, remembered;

    assert_int_equal(ss_digest_verity(fd, size, NULL, &plain), 0);
    assert_int_equal(ss_digest_verity(fd, size, &how, &remembered), 0);
    assert_true(ss_sha256_equal(&plain, &remembered));
}

static void test_memo(void **state)
{
    struct ss_digest_memo *memo = ss_digest_memo_new();
    uint64_t size = 9 * UNIT + 1000;
    SS_AUTO_CLOSE int fd = generated_file(size);
    struct ss_sha256 known;

    (void)state;
    assert_same_with(fd, size, memo);
    assert_same_with(fd, size, memo);
    for (uint64_t i = 0; i < 9; i++)
        assert_true(ss_digest_memo_find(memo, i, &known));
    assert_false(ss_digest_memo_find(memo, 9, &known)); /* shorter than a unit */
    for (int i = 0; i < 200; i++) {                     /* bytes in one unit, on a border, and at the end */
        uint64_t at = (uint64_t)rand() % (size - 3000), len = 1 + (uint64_t)rand() % 3000;
        put(fd, &(const char[3000]){(char)i, 1}, len, at);
        ss_digest_memo_forget(memo, at, at + len);
        assert_same_with(fd, size, memo);
    }
    assert_int_equal(ftruncate(fd, (off_t)(3 * UNIT + 5)), 0);
    ss_digest_memo_forget(memo, 3 * UNIT + 5, UINT64_MAX);
    assert_same_with(fd, 3 * UNIT + 5, memo);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_same_with(fd, size, memo);
    ss_digest_memo_free(memo);
}

static void test_memo_trusts(void **state)
{
    struct ss_digest_memo *memo = ss_digest_memo_new();
    const struct ss_digest_run how = {.memo = memo};
    SS_AUTO_CLOSE int fd = generated_file(3 * UNIT);
    struct ss_sha256 before, after;

    (void)state;
    assert_int_equal(ss_digest_verity(fd, 3 * UNIT, &how, &before), 0);
    put(fd, "x", 1, UNIT + 7);
    assert_int_equal(ss_digest_verity(fd, 3 * UNIT, &how, &after), 0);
    assert_true(ss_sha256_equal(&before, &after)); /* it was not told */
    ss_digest_memo_forget(memo, UNIT + 7, UNIT + 8);
    assert_int_equal(ss_digest_verity(fd, 3 * UNIT, &how, &after), 0);
    assert_false(ss_sha256_equal(&before, &after));
    ss_digest_memo_free(memo);
}

/* What is forgotten while it is digested is not remembered afterwards. */
static void test_memo_meanwhile(void **state)
{
    struct ss_digest_memo *memo = ss_digest_memo_new();
    struct ss_sha256 digest = {{1}}, found;

    (void)state;
    uint64_t begun = ss_digest_memo_begin(memo, 5);
    assert_int_not_equal(begun, 0);
    ss_digest_memo_forget(memo, 5 * UNIT + 9, 5 * UNIT + 10);
    ss_digest_memo_put(memo, 5, begun, &digest);
    assert_false(ss_digest_memo_find(memo, 5, &found));
    uint64_t again = ss_digest_memo_begin(memo, 5);
    ss_digest_memo_put(memo, 5, begun, &digest); /* one who is late */
    assert_false(ss_digest_memo_find(memo, 5, &found));
    ss_digest_memo_forget(memo, 6 * UNIT, 7 * UNIT); /* its neighbours */
    ss_digest_memo_forget(memo, 0, 5 * UNIT);
    ss_digest_memo_put(memo, 5, again, &digest);
    assert_true(ss_digest_memo_find(memo, 5, &found));
    assert_int_equal(ss_digest_memo_begin(memo, UINT64_C(1) << 19), 0); /* too far */
    ss_digest_memo_free(memo);
}

static void test_ahead(void **state)
{
    struct ss_digest_memo *memo = ss_digest_memo_new();
    const struct ss_digest_run how = {.memo = memo};
    uint64_t size = 20 * UNIT + 5;
    SS_AUTO_CLOSE int fd = generated_file(size);
    struct ss_sha256 known;

    (void)state;
    assert_int_equal(ss_digest_ahead(fd, 0, size, &how), 0);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 0), 20);
    assert_same_with(fd, size, memo);
    put(fd, "x", 1, 7 * UNIT);
    ss_digest_memo_forget(memo, 7 * UNIT, 7 * UNIT + 1);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 0), 7);
    assert_same_with(fd, size, memo);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 0), 20);
    assert_int_equal(ss_digest_ahead(fd, 0, size, &how), 0); /* nothing to do */
    ss_digest_memo_forget(memo, 0, UINT64_MAX);
    assert_int_equal(ss_digest_ahead(fd, 0, 3 * UNIT, &how), 0); /* a part */
    assert_true(ss_digest_memo_find(memo, 2, &known));
    assert_false(ss_digest_memo_find(memo, 3, &known));
    ss_digest_memo_forget(memo, 0, UINT64_MAX);
    assert_int_equal(ss_digest_ahead(fd, 5 * UNIT + 1, 9 * UNIT, &how), 0); /* whole units from there on */
    assert_false(ss_digest_memo_find(memo, 4, &known));
    assert_true(ss_digest_memo_find(memo, 5, &known));
    assert_true(ss_digest_memo_find(memo, 8, &known));
    assert_int_equal(ss_digest_memo_first_unknown(memo, 0), 0);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 5), 9);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 7), 9);
    assert_int_equal(ss_digest_memo_first_unknown(memo, 11), 11);
    assert_int_equal(ss_digest_ahead(fd, 9 * UNIT, 3 * UNIT, &how), 0); /* nothing to do */
    assert_same_with(fd, size, memo);
    ss_digest_memo_free(memo);
}

static void test_stop(void **state)
{
    SS_AUTO_CLOSE int fd = generated_file(3 * UNIT);
    const _Atomic bool stop = true;
    const struct ss_digest_run how = {.stop = &stop};
    struct ss_sha256 digest;

    (void)state;
    assert_int_equal(ss_digest_verity(fd, 3 * UNIT, &how, &digest), -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_verity),
        cmocka_unit_test(test_verity_monotone),
        cmocka_unit_test(test_verity_crowd),
        cmocka_unit_test(test_verity_holes),
        cmocka_unit_test(test_verity_hole_limits),
        cmocka_unit_test(test_verity_huge),
        cmocka_unit_test(test_verity_errors),
        cmocka_unit_test(test_offset_kept),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_moving_file),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_memo),
        cmocka_unit_test(test_memo_trusts),
        cmocka_unit_test(test_memo_meanwhile),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
