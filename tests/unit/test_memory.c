/* Checks beside each other share memory: nobody goes beyond it while another runs, and nobody waits for ever. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those before it. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/inside/memory.h"

#define ALL ((size_t)100)

static struct ss_memory memory;

static int begin(void **state)
{
    (void)state;
    ss_memory_init(&memory, ALL);
    return 0;
}

/* Whatever was taken has been given back. */
static int end(void **state)
{
    (void)state;
    int left = memory.used > 0 || memory.running > 0;
    ss_memory_destroy(&memory);
    return left;
}

static void is_shared_out(void **state)
{
    size_t a = 0, b = 0;

    (void)state;
    assert_true(ss_memory_change(&memory, &a, 60));
    assert_true(ss_memory_change(&memory, &b, 40));
    assert_int_equal(a, 60);
    assert_int_equal(b, 40);
    assert_true(ss_memory_change(&memory, &a, 10));
    assert_true(ss_memory_change(&memory, &b, 90));
    assert_true(ss_memory_change(&memory, &a, 0));
    assert_true(ss_memory_change(&memory, &b, 0));
}

static void ends_somewhere(void **state)
{
    size_t a = 0, b = 0;

    (void)state;
    assert_true(ss_memory_change(&memory, &a, 60));
    assert_false(ss_memory_change(&memory, &b, 41));
    assert_int_equal(b, 0);
    assert_true(ss_memory_change(&memory, &b, 40));
    assert_false(ss_memory_change(&memory, &b, 41)); /* the other one runs */
    assert_int_equal(b, 40);
    assert_true(ss_memory_change(&memory, &a, 0));
    assert_true(ss_memory_change(&memory, &b, 41));
    assert_true(ss_memory_change(&memory, &b, 0));
}

/* What wants more than there is goes alone. */
static void the_greedy_go_alone(void **state)
{
    size_t a = 0, b = 0;

    (void)state;
    assert_true(ss_memory_change(&memory, &a, 10 * ALL));
    assert_false(ss_memory_change(&memory, &b, 1));
    assert_true(ss_memory_change(&memory, &a, 0));
    assert_true(ss_memory_change(&memory, &b, 1));
    assert_false(ss_memory_change(&memory, &a, 10 * ALL));
    assert_true(ss_memory_change(&memory, &b, 0));
}

static void *give_back(void *has)
{
    usleep(10000);
    ss_memory_change(&memory, has, 0);
    return NULL;
}

static void whoever_waits_gets_it(void **state)
{
    size_t a = 0, b = 0;
    pthread_t other;
    int tries = 0;

    (void)state;
    assert_true(ss_memory_change(&memory, &a, ALL));
    assert_int_equal(pthread_create(&other, NULL, give_back, &a), 0);
    while (!ss_memory_change(&memory, &b, ALL) && tries < 200) /* one is enough unless the other comes late */
        tries++;
    pthread_join(other, NULL);
    assert_int_equal(b, ALL);
    assert_true(ss_memory_change(&memory, &b, 0));
}

#define CHECKS 8
#define ROUNDS 100
#define FIRST_MAX 50
#define MORE_MAX 80

static _Atomic size_t in_use; /* counted after it was given, and no longer before it is given back */
static _Atomic size_t most;

static void count(size_t bytes)
{
    size_t now = atomic_fetch_add(&in_use, bytes) + bytes, before = most;

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
}

/* A check that asks for some, and then for more. */
static void *check(void *number)
{
    unsigned seed = (unsigned)(uintptr_t)number;
    size_t has = 0;

    for (int i = 0; i < ROUNDS; i++) {
        size_t first = 1 + (size_t)rand_r(&seed) % FIRST_MAX, more = (size_t)rand_r(&seed) % MORE_MAX;
        while (!ss_memory_change(&memory, &has, first))
            ;
        count(first);
        sched_yield();
        while (!ss_memory_change(&memory, &has, first + more))
            ;
        count(more);
        sched_yield();
        atomic_fetch_sub(&in_use, first + more);
        ss_memory_change(&memory, &has, 0);
    }
    return NULL;
}

/* One at a time may go beyond what there is, when all others wait: so all get on, and it never is much more. */
static void all_get_on(void **state)
{
    pthread_t threads[CHECKS];

    (void)state;
    for (uintptr_t i = 0; i < CHECKS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, check, (void *)i), 0);
    for (size_t i = 0; i < CHECKS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(most, ALL / 2, ALL + MORE_MAX);
    assert_int_equal(in_use, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_shared_out, begin, end),
        cmocka_unit_test_setup_teardown(ends_somewhere, begin, end),
        cmocka_unit_test_setup_teardown(the_greedy_go_alone, begin, end),
        cmocka_unit_test_setup_teardown(whoever_waits_gets_it, begin, end),
        cmocka_unit_test_setup_teardown(all_get_on, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
