#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/hasher.h"
#include "core/util.h"

#define COUNT_MAX 1000
#define LEN_MAX 10000

static struct ss_hasher_job job[COUNT_MAX];
static struct ss_sha256 digest[COUNT_MAX], expected;

/* Blocks that overlap: no two are equal. */
static void point_to_blocks(const unsigned char *bytes)
{
    for (size_t i = 0; i < COUNT_MAX; i++)
        job[i] = (struct ss_hasher_job){.bytes = bytes + i, .digest = &digest[i]};
}

static void assert_digests(struct ss_hasher *hasher, size_t count, size_t len)
{
    memset(digest, 0, sizeof digest);
    ss_hasher_digest_many(hasher, job, count, len);
    for (size_t i = 0; i < COUNT_MAX; i++) {
        memset(&expected, 0, sizeof expected);
        if (i < count)
            ss_hasher_digest(hasher, job[i].bytes, len, &expected);
        assert_true(ss_sha256_equal(&digest[i], &expected)); /* nor is anything else written to */
    }
}

static void widen(struct ss_hasher *hasher)
{
    assert_digests(hasher, 127, 4096);
    assert_digests(hasher, 1, 4096);
    assert_null(hasher->lanes);
    assert_digests(hasher, 1, 4096);
}

static void test_many(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 128, 255, 256, 257, COUNT_MAX};
    static const size_t lens[] = {1, 55, 56, 63, 64, 65, 119, 120, 4096, LEN_MAX};
    SS_AUTO_FREE unsigned char *bytes = malloc(COUNT_MAX + LEN_MAX);
    struct ss_hasher hasher;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < COUNT_MAX + LEN_MAX; i++)
        bytes[i] = (unsigned char)rand();
    point_to_blocks(bytes);
    assert_int_equal(ss_hasher_open(&hasher), 0);
    widen(&hasher);
    struct ss_lanes *lanes = hasher.lanes; /* NULL where there are none, or not with this processor */
    assert_true(!lanes || hasher.crypto->lanes);
#ifdef __x86_64__
    if (hasher.crypto->lanes && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        assert_non_null(lanes);
#endif
    for (size_t i = 0; i < SS_ARRAY_SIZE(counts); i++) {
        for (size_t j = 0; j < SS_ARRAY_SIZE(lens); j++)
            assert_digests(&hasher, counts[i], lens[j]);
    }
    assert_digests(&hasher, 100, 0);
    assert_ptr_equal(hasher.lanes, lanes); /* they did not fail */
    job[17].bytes = NULL;                  /* no bytes at no place: libipsec-mb refuses that */
    assert_digests(&hasher, 100, 0);
    assert_null(hasher.lanes);
}

static int open_now, opened;

static struct ss_lanes *open_broken(void)
{
    open_now++;
    opened++;
    return (struct ss_lanes *)(void *)&open_now;
}

static void close_broken(struct ss_lanes *lanes)
{
    (void)lanes;
    open_now--;
}

static bool digest_wrongly(struct ss_lanes *lanes, const struct ss_hasher_job *jobs, size_t count, size_t len)
{
    (void)lanes, (void)len;
    for (size_t i = 0; i < count; i++)
        memset(jobs[i].digest, 7, sizeof *jobs[i].digest);
    return false;
}

/* A library that fails costs time, and nothing else. */
static void test_broken_lanes(void **state)
{
    static const struct ss_lanes_functions broken = {open_broken, close_broken, digest_wrongly};
    static unsigned char bytes[COUNT_MAX + 4096];
    struct ss_hasher hasher;

    (void)state;
    assert_int_equal(ss_hasher_open(&hasher), 0);
    struct ss_crypto crypto = *hasher.crypto;
    crypto.lanes = &broken;
    hasher.crypto = &crypto;
    point_to_blocks(bytes);
    widen(&hasher);
    assert_int_equal(opened, 1);
    assert_int_equal(open_now, 0); /* they failed */
    assert_digests(&hasher, 1000, 4096);
    assert_int_equal(opened, 1); /* not tried again */
    ss_hasher_close(&hasher);
    assert_int_equal(open_now, 0);
}

static void *digest_again_and_again(void *bytes)
{
    struct ss_sha256 mine[128], one;
    struct ss_hasher_job work[128];
    struct ss_hasher hasher;
    uintptr_t wrong = 0;

    for (size_t i = 0; i < 128; i++)
        work[i] = (struct ss_hasher_job){.bytes = (unsigned char *)bytes + i, .digest = &mine[i]};
    for (int round = 0; round < 50; round++) {
        wrong += ss_hasher_open(&hasher) != 0;
        for (int i = 0; i < 2; i++) /* the second time in lanes */
            ss_hasher_digest_many(&hasher, work, 128, 4096);
        for (size_t i = 0; i < 128; i++) {
            ss_hasher_digest(&hasher, work[i].bytes, 4096, &one);
            wrong += !ss_sha256_equal(&one, &mine[i]);
        }
        ss_hasher_close(&hasher);
    }
    return (void *)wrong; /* a failed assertion must not jump out of another thread */
}

/* Each thread has its own, all of one library. */
static void test_threads(void **state)
{
    static unsigned char bytes[128 + 4096];
    pthread_t thread[8];
    void *wrong;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)rand();
    for (size_t i = 0; i < SS_ARRAY_SIZE(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, digest_again_and_again, bytes), 0);
    for (size_t i = 0; i < SS_ARRAY_SIZE(thread); i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_broken_lanes),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
