/* What libsaveseal tells of the inside: from a result made by hand, with keys and texts that no format has to have. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/library/private.h"

static void add(saveseal_result *result, const char *key, const char *text)
{
    struct ss_fact *fact = &result->check.inside.facts[result->check.inside.fact_count++];

    fact->key = key;
    snprintf(fact->text, sizeof fact->text, "%s", text);
}

static void test_facts(void **state)
{
    static saveseal_result result = {.check = {.looked_inside = true, .inside = {.kind = "k", .title = "t"}}};

    (void)state;
    result.check.inside.finding = SS_COMPLETE;
    assert_int_equal(saveseal_result_fact_count(&result), 0);
    add(&result, "disk", "a");
    add(&result, "domain", "vm\0331");
    add(&result, "disk", "b");
    assert_int_equal(saveseal_result_fact_count(&result), 3);
    assert_string_equal(saveseal_result_fact_key(&result, 1), "domain");
    assert_string_equal(saveseal_result_fact_text(&result, 1), "vm\0331");
    assert_string_equal(saveseal_result_fact_text(&result, 2), "b");
    assert_null(saveseal_result_fact_key(&result, 3));
    assert_null(saveseal_result_fact_text(&result, SIZE_MAX));
    assert_string_equal(saveseal_result_fact(&result, "disk"), "a");
    assert_null(saveseal_result_fact(&result, "dis"));
    assert_null(saveseal_result_fact(&result, NULL));
    assert_string_equal(saveseal_result_inside_kind(&result), "k");
    assert_string_equal(saveseal_result_inside_title(&result), "t");
    assert_string_equal(saveseal_finding_id(saveseal_result_inside_finding(&result)), "complete");
    result.check.looked_inside = false;
    assert_int_equal(saveseal_result_fact_count(&result), 0);
    assert_null(saveseal_result_fact(&result, "disk"));
    assert_null(saveseal_result_inside_kind(&result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_facts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
