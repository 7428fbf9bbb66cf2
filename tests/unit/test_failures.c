/* Unresolved ranges, checked against a plain array of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/failures.h"

#define SPAN 512

static void resolved_range_is_forgotten(void **state)
{
    struct ss_failures failures = {0};

    (void)state;
    ss_failures_add(&failures, 100, 200, 28);
    assert_non_null(ss_failures_first(&failures));
    assert_int_equal(ss_failures_first(&failures)->start, 100);
    assert_int_equal(ss_failures_first(&failures)->error, 28);
    ss_failures_resolve(&failures, 0, 100);
    assert_non_null(ss_failures_first(&failures));
    ss_failures_resolve(&failures, 100, 199);
    assert_int_equal(ss_failures_first(&failures)->start, 199);
    ss_failures_resolve(&failures, 150, 300);
    assert_null(ss_failures_first(&failures));
}

static void hole_in_the_middle_leaves_two(void **state)
{
    struct ss_failures failures = {0};

    (void)state;
    ss_failures_add(&failures, 0, 100, 5);
    ss_failures_resolve(&failures, 40, 60);
    assert_int_equal(failures.count, 2);
    assert_int_equal(failures.range[0].end, 40);
    assert_int_equal(failures.range[1].start, 60);
}

static void empty_range_is_nothing(void **state)
{
    struct ss_failures failures = {0};

    (void)state;
    ss_failures_add(&failures, 10, 10, 5);
    assert_null(ss_failures_first(&failures));
}

static void check_order(const struct ss_failures *failures)
{
    for (uint32_t i = 0; i < failures->count; i++) {
        assert_true(failures->range[i].start < failures->range[i].end);
        if (i > 0)
            assert_true(failures->range[i - 1].end < failures->range[i].start ||
                        failures->range[i - 1].end == failures->range[i].start);
    }
}

/* Every byte that is unresolved must be covered; bytes covered beyond that are allowed only once the table had to join.
 */
static void random_walk_never_forgets_a_byte(void **state)
{
    (void)state;
    srandom(20111);
    for (int round = 0; round < 300; round++) {
        struct ss_failures failures = {0};
        unsigned char wanted[SPAN] = {0};
        bool joined = false;

        for (int step = 0; step < 200; step++) {
            uint64_t start = (uint64_t)random() % SPAN, end = start + 1 + (uint64_t)random() % 12;
            bool fails = random() % 3 != 0;
            if (end > SPAN)
                end = SPAN;
            joined |= failures.count >= SS_FAILURES_MAX - 1;
            if (fails)
                ss_failures_add(&failures, start, end, 28);
            else
                ss_failures_resolve(&failures, start, end);
            memset(wanted + start, fails, end - start);
            check_order(&failures);
            unsigned char covered[SPAN] = {0};
            for (uint32_t i = 0; i < failures.count; i++)
                memset(covered + failures.range[i].start, 1, failures.range[i].end - failures.range[i].start);
            for (size_t byte = 0; byte < SPAN; byte++)
                assert_true(joined ? covered[byte] >= wanted[byte] : covered[byte] == wanted[byte]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolved_range_is_forgotten),
        cmocka_unit_test(hole_in_the_middle_leaves_two),
        cmocka_unit_test(empty_range_is_nothing),
        cmocka_unit_test(random_walk_never_forgets_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
