/* How long reads have to wait; no number overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those before it. */
#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "core/util.h"
#include "tools/limit.h"

#define FAR_NS (SS_SECOND_NS * 1000000)

/* When the read after one of len bytes may be, from now on. */
static uint64_t wait_after(uint64_t rate, uint64_t len)
{
    struct limit limit;

    limit_start(&limit, rate, 0, 0);
    uint64_t now = ss_now_ns();
    assert_int_equal(limit_admit(&limit, len), 0);
    assert_true(limit.free_at >= now);
    uint64_t wait = limit.free_at - now;
    limit_end(&limit);
    return wait;
}

static void test_wait(void **state)
{
    (void)state;
    uint64_t wait = wait_after(1000, 5000000);
    assert_true(wait >= 5000 * SS_SECOND_NS && wait < 5100 * SS_SECOND_NS);
    wait = wait_after(UINT64_C(1) << 40, UINT64_C(3) << 50);
    assert_true(wait >= 3072 * SS_SECOND_NS && wait < 3200 * SS_SECOND_NS);
    assert_true(wait_after(INT64_MAX, 512 << 10) < 100 * SS_SECOND_NS);
}

static void test_overflow(void **state)
{
    static const uint64_t lengths[] = {UINT64_C(1) << 62, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(lengths); i++)
        assert_true(wait_after(1, lengths[i]) > FAR_NS);
}

/* What would have to wait for ever ends with the run. */
static void test_stop(void **state)
{
    struct limit limit;

    (void)state;
    limit_start(&limit, 1, 0, 0);
    assert_int_equal(limit_admit(&limit, UINT64_MAX), 0);
    assert_false(limit_is_final(&limit));
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(limit_admit(&limit, 1), -ECANCELED);
    assert_true(limit_is_final(&limit));
    assert_string_equal(limit_text(&limit), "SIGTERM");
    assert_false(limit_may_begin(&limit, 1));
    limit_end(&limit);
}

static void test_output(void **state)
{
    struct limit limit;

    (void)state;
    limit_start(&limit, 0, 0, 0);
    limit_stop_output(&limit);
    assert_true(limit_is_over(&limit));
    assert_true(limit_is_final(&limit));
    assert_non_null(limit_text(&limit));
    limit_end(&limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
