#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/record.h"
#include "core/utc.h"
#include "core/util.h"

#define HEAD "saveseal/1"
#define KEY_31 "a123456789b123456789c123456789d"

static int decode(const char *line, struct ss_record *record)
{
    return ss_record_decode(line, strlen(line), record);
}

/* What is decoded can be encoded, and there is one way to write it. */
static void assert_line(const struct ss_record *record, const char *line)
{
    char buf[SS_RECORD_MAX];

    ssize_t len = ss_record_encode(record, buf, sizeof buf);
    assert_int_equal(len, strlen(line));
    assert_memory_equal(buf, line, strlen(line));
}

static void test_good_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *key, *value;
    } cases[] = {
        {HEAD, "a", NULL},
        {HEAD " a=", "a", ""},
        {HEAD " a=b", "a", "b"},
        {HEAD " a=b", "b", NULL},
        {HEAD " a-1=b c=d", "a-1", "b"},
        {HEAD " a-1=b c=d", "c", "d"},
        {HEAD " ab=1 a=2 abc=3", "a", "2"},
        {HEAD " -=x", "-", "x"},
        {HEAD " 0=x", "0", "x"},
        {HEAD " " KEY_31 "=x", KEY_31, "x"},
        {HEAD " a=%20", "a", " "},
        {HEAD " a=%25%3D", "a", "%="},
        {HEAD " a=%01%0A%7F%80%FF", "a", "\x01\n\x7f\x80\xff"},
        {HEAD " a=!\"#$&'()*+,-./:;<>?@[\\]^_`{|}~", "a", "!\"#$&'()*+,-./:;<>?@[\\]^_`{|}~"},
        {HEAD " a=saveseal/2", "a", "saveseal/2"},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        struct ss_record record;
        assert_int_equal(decode(cases[i].line, &record), 0);
        const char *value = ss_record_get(&record, cases[i].key);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
        else
            assert_null(value);
        assert_line(&record, cases[i].line);
    }
}

static void test_malformed_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int err;
    } cases[] = {
        /* the head */
        {"", -EBADMSG},
        {"saveseal", -EBADMSG},
        {"saveseal/", -EBADMSG},
        {"saveseal/ a=b", -EBADMSG},
        {"saveseal/x", -EBADMSG},
        {"saveseal/-1", -EBADMSG},
        {"saveseal/1.0", -EBADMSG},
        {"saveseal/1a=b", -EBADMSG},
        {"saveseal/0", -EBADMSG},
        {"saveseal/01", -EBADMSG},
        {"Saveseal/1", -EBADMSG},
        {" saveseal/1", -EBADMSG},
        {"otherseal/1", -EBADMSG},
        /* another major version: what follows is not looked at */
        {"saveseal/2", -EPROTONOSUPPORT},
        {"saveseal/2 a=b", -EPROTONOSUPPORT},
        {"saveseal/10", -EPROTONOSUPPORT},
        {"saveseal/11 \x01%zz==", -EPROTONOSUPPORT},
        {"saveseal/99999999999999999999999 ", -EPROTONOSUPPORT},
        {"saveseal/2x", -EBADMSG},
        /* spaces */
        {HEAD " ", -EBADMSG},
        {HEAD "  a=b", -EBADMSG},
        {HEAD " a=b ", -EBADMSG},
        {HEAD " a=b  c=d", -EBADMSG},
        {HEAD "\ta=b", -EBADMSG},
        {HEAD "\n", -EBADMSG},
        {HEAD " a=b\n", -EBADMSG},
        {HEAD " a=b\tc=d", -EBADMSG},
        /* keys */
        {HEAD " a", -EBADMSG},
        {HEAD " a b=c", -EBADMSG},
        {HEAD " =b", -EBADMSG},
        {HEAD " A=b", -EBADMSG},
        {HEAD " a_b=c", -EBADMSG},
        {HEAD " a.b=c", -EBADMSG},
        {HEAD " %61=c", -EBADMSG},
        {HEAD " \xc3\xa4=c", -EBADMSG},
        {HEAD " " KEY_31 "e=x", -EBADMSG},
        {HEAD " " KEY_31 "e", -EBADMSG},
        {HEAD " a=b a=b", -EBADMSG},
        {HEAD " a=b c=d a=", -EBADMSG},
        /* values */
        {HEAD " a=b=c", -EBADMSG},
        {HEAD " a==", -EBADMSG},
        {HEAD " a=\x7f", -EBADMSG},
        {HEAD " a=\x80", -EBADMSG},
        {HEAD " a=\xff", -EBADMSG},
        {HEAD " a=\x01", -EBADMSG},
        /* escapes */
        {HEAD " a=%", -EBADMSG},
        {HEAD " a=%2", -EBADMSG},
        {HEAD " a=% b=c", -EBADMSG},
        {HEAD " a=%2 b=c", -EBADMSG},
        {HEAD " a=%0a", -EBADMSG},
        {HEAD " a=%fF", -EBADMSG},
        {HEAD " a=%G0", -EBADMSG},
        {HEAD " a=%0G", -EBADMSG},
        {HEAD " a=%%25", -EBADMSG},
        {HEAD " a=%00", -EBADMSG},
        {HEAD " a=%41", -EBADMSG},
        {HEAD " a=%21", -EBADMSG},
        {HEAD " a=%7E", -EBADMSG},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        struct ss_record record;
        ss_record_init(&record);
        assert_int_equal(ss_record_set(&record, "kept", "yes"), 0);
        if (decode(cases[i].line, &record) != cases[i].err)
            fail_msg("\"%s\" gives %d, not %d", cases[i].line, decode(cases[i].line, &record), cases[i].err);
        assert_line(&record, HEAD " kept=yes");
    }
}

/* A NUL anywhere is an error, and so is every cut of a line but those between two fields or inside a value. */
static void test_nul_and_cuts(void **state)
{
    (void)state;
    static const char line[] = HEAD " a=%20x bc=y";
    static const size_t good_cuts[] = {10, 13, 16, 17, 21, 22};
    struct ss_record record;

    for (size_t i = 0; i < sizeof line - 1; i++) {
        char changed[sizeof line];
        memcpy(changed, line, sizeof line);
        changed[i] = '\0';
        assert_int_equal(ss_record_decode(changed, sizeof line - 1, &record), -EBADMSG);
    }
    assert_int_equal(ss_record_decode(line, sizeof line, &record), -EBADMSG);

    for (size_t len = 0, good = 0; len < sizeof line; len++) {
        bool is_good = good < SS_ARRAY_SIZE(good_cuts) && good_cuts[good] == len;
        good += is_good;
        assert_int_equal(ss_record_decode(line, len, &record), is_good ? 0 : -EBADMSG);
    }
}

/* Every byte goes into a value and comes back. */
static void test_every_byte(void **state)
{
    (void)state;
    struct ss_record record, again;
    char all[256], buf[SS_RECORD_MAX];

    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    ss_record_init(&record);
    assert_int_equal(ss_record_set(&record, "all", all), 0);
    ssize_t len = ss_record_encode(&record, buf, sizeof buf);
    assert_int_equal(len, 10 + 5 + 92 + 3 * (255 - 92));
    for (ssize_t i = 0; i < len; i++)
        assert_in_range(buf[i], 0x20, 0x7e);
    assert_int_equal(ss_record_decode(buf, (size_t)len, &again), 0);
    assert_string_equal(ss_record_get(&again, "all"), all);
}

static void test_set_and_unset(void **state)
{
    (void)state;
    struct ss_record record;

    assert_int_equal(decode(HEAD " a=1 future=keep%20me c=3", &record), 0);
    assert_int_equal(ss_record_set(&record, "a", "longer than before"), 0);
    assert_int_equal(ss_record_set(&record, "c", ""), 0);
    assert_int_equal(ss_record_set(&record, "d", "4"), 0);
    assert_line(&record, HEAD " a=longer%20than%20before future=keep%20me c= d=4");
    ss_record_unset(&record, "a");
    ss_record_unset(&record, "absent");
    assert_line(&record, HEAD " future=keep%20me c= d=4");
    ss_record_unset(&record, "d");
    ss_record_unset(&record, "future");
    ss_record_unset(&record, "c");
    assert_line(&record, HEAD);
    assert_int_equal(ss_record_set(&record, "a", "again"), 0);
    assert_line(&record, HEAD " a=again");
}

static void test_set_from_itself(void **state)
{
    (void)state;
    struct ss_record record;

    assert_int_equal(decode(HEAD " a=12345 b=x", &record), 0);
    assert_int_equal(ss_record_set(&record, "a", ss_record_get(&record, "a") + 2), 0);
    assert_int_equal(ss_record_set(&record, "b", ss_record_get(&record, "a")), 0);
    assert_int_equal(ss_record_set(&record, "c", ss_record_get(&record, "b") + 1), 0);
    assert_line(&record, HEAD " a=345 b=345 c=45");
}

static void test_bad_keys(void **state)
{
    (void)state;
    static const char too_long[] = KEY_31 "e";
    static const char *const bad[] = {"", "A", "a b", "a=b", "a_b", "%41", "a\n", "\xc3\xa4", too_long};
    struct ss_record record;

    ss_record_init(&record);
    assert_int_equal(ss_record_set(&record, KEY_31, "x"), 0);
    for (size_t i = 0; i < SS_ARRAY_SIZE(bad); i++) {
        assert_int_equal(ss_record_set(&record, bad[i], "x"), -EINVAL);
        assert_int_equal(ss_record_set_u64(&record, bad[i], 1), -EINVAL);
        assert_int_equal(ss_record_set_time(&record, bad[i], 1), -EINVAL);
        assert_null(ss_record_get(&record, bad[i]));
        ss_record_unset(&record, bad[i]);
    }
    assert_line(&record, HEAD " " KEY_31 "=x");
}

/* The longest line, made by decode and by set, of plain bytes and of escapes. */
static void test_longest_line(void **state)
{
    (void)state;
    struct ss_record record;
    char line[SS_RECORD_MAX + 2], value[SS_RECORD_MAX];
    const size_t room = SS_RECORD_MAX - strlen(HEAD " a=");

    memset(line, 'x', sizeof line);
    memcpy(line, HEAD " a=", strlen(HEAD " a="));
    assert_int_equal(ss_record_decode(line, SS_RECORD_MAX + 1, &record), -E2BIG);
    assert_int_equal(ss_record_decode(line, SS_RECORD_MAX, &record), 0);
    assert_int_equal(strlen(ss_record_get(&record, "a")), room);
    line[SS_RECORD_MAX] = '\0';
    assert_line(&record, line);

    /* No room for one byte more; replacing the longest value by another one needs it twice inside. */
    assert_int_equal(ss_record_set(&record, "b", ""), -E2BIG);
    memset(value, 'y', sizeof value);
    value[room + 1] = '\0';
    assert_int_equal(ss_record_set(&record, "a", value), -E2BIG);
    assert_line(&record, line);
    value[room] = '\0';
    assert_int_equal(ss_record_set(&record, "a", value), 0);
    assert_string_equal(ss_record_get(&record, "a"), value);

    memset(value, '%', sizeof value);
    value[room / 3] = '\0';
    assert_int_equal(ss_record_set(&record, "a", value), 0);
    value[room / 3] = '%';
    value[room / 3 + 1] = '\0';
    assert_int_equal(ss_record_set(&record, "a", value), -E2BIG);

    /* A line of another version is that first, however long. */
    line[strlen("saveseal/")] = '2';
    assert_int_equal(ss_record_decode(line, SS_RECORD_MAX + 1, &record), -EPROTONOSUPPORT);
}

static void test_most_fields(void **state)
{
    (void)state;
    struct ss_record record;
    char line[SS_RECORD_MAX], key[16];

    ss_record_init(&record);
    for (int i = 0; i < SS_RECORD_FIELDS_MAX; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(ss_record_set_u64(&record, key, (uint64_t)i), 0);
    }
    assert_int_equal(ss_record_set(&record, "more", ""), -E2BIG);
    assert_int_equal(ss_record_set(&record, "k7", "still replaced"), 0);

    ssize_t len = ss_record_encode(&record, line, sizeof line - sizeof " z=");
    assert_true(len > 0);
    assert_int_equal(ss_record_decode(line, (size_t)len, &record), 0);
    memcpy(line + len, " z=", sizeof " z=");
    assert_int_equal(decode(line, &record), -E2BIG);
}

static void test_encode_size(void **state)
{
    (void)state;
    struct ss_record record;
    char buf[32];

    assert_int_equal(decode(HEAD " a=%20", &record), 0);
    for (size_t size = 0; size < strlen(HEAD " a=%20"); size++) {
        memset(buf, '#', sizeof buf);
        assert_int_equal(ss_record_encode(&record, buf, size), -E2BIG);
        assert_int_equal(buf[size], '#');
    }
    assert_int_equal(ss_record_encode(&record, buf, strlen(HEAD " a=%20")), strlen(HEAD " a=%20"));
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"4096", 0, 4096},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -EBADMSG, 0},
        {"18446744073709551620", -EBADMSG, 0},
        {"184467440737095516150", -EBADMSG, 0},
        {"99999999999999999999", -EBADMSG, 0},
        {"", -EBADMSG, 0},
        {"00", -EBADMSG, 0},
        {"01", -EBADMSG, 0},
        {"-1", -EBADMSG, 0},
        {"+1", -EBADMSG, 0},
        {" 1", -EBADMSG, 0},
        {"1 ", -EBADMSG, 0},
        {"1k", -EBADMSG, 0},
        {"0x10", -EBADMSG, 0},
        {"1.0", -EBADMSG, 0},
    };
    struct ss_record record;
    uint64_t value = 77;

    ss_record_init(&record);
    assert_int_equal(ss_record_get_u64(&record, "n", &value), -ENODATA);
    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        value = 77;
        assert_int_equal(ss_record_set(&record, "n", cases[i].text), 0);
        assert_int_equal(ss_record_get_u64(&record, "n", &value), cases[i].err);
        assert_int_equal(value, cases[i].err ? 77 : cases[i].value);
        if (cases[i].err == 0) {
            assert_int_equal(ss_record_set_u64(&record, "n", value), 0);
            assert_string_equal(ss_record_get(&record, "n"), cases[i].text);
        }
    }
}

/* Day for day until the next century, and steps of primes to the last moment: as the C library has it. */
static void test_calendar(void **state)
{
    (void)state;
    char text[SS_UTC_SIZE], wanted[SS_UTC_SIZE];
    struct tm utc;
    time_t read;

    for (time_t value = 0; value < INT64_C(253402300800); value += value < INT64_C(4200000000) ? 86399 : 86400007) {
        assert_int_equal(ss_utc_format(value, text), 0);
        assert_non_null(gmtime_r(&value, &utc));
        strftime(wanted, sizeof wanted, "%Y-%m-%dT%H:%M:%SZ", &utc);
        assert_string_equal(text, wanted);
        assert_int_equal(ss_utc_parse(text, &read), 0);
        assert_int_equal(read, value);
    }
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        time_t value; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01Z", 1},
        {"2024-02-29T23:59:59Z", 1709251199},
        {"2038-01-19T03:14:08Z", 2147483648},
        {"9999-12-31T23:59:59Z", 253402300799},
        {"1969-12-31T23:59:59Z", -1},
        {"0000-01-01T00:00:00Z", -1},
        {"10000-01-01T00:00:00Z", -1},
        {"2023-02-29T00:00:00Z", -1},
        {"2023-02-30T00:00:00Z", -1},
        {"2023-13-01T00:00:00Z", -1},
        {"2023-00-01T00:00:00Z", -1},
        {"2023-01-00T00:00:00Z", -1},
        {"2023-01-01T24:00:00Z", -1},
        {"2023-01-01T00:60:00Z", -1},
        {"2016-12-31T23:59:60Z", -1},
        {"2023-01-01T00:00:00", -1},
        {"2023-01-01T00:00:00z", -1},
        {"2023-01-01 00:00:00Z", -1},
        {"2023-01-01T00:00:00Zx", -1},
        {"2023-01-01T00:00:00+00:00", -1},
        {"2023-1-01T00:00:00Z", -1},
        {"2023-01- 1T00:00:00Z", -1},
        {" 2023-01-01T00:00:00Z", -1},
        {"+023-01-01T00:00:00Z", -1},
        {"", -1},
    };
    struct ss_record record;
    time_t value;

    ss_record_init(&record);
    assert_int_equal(ss_record_get_time(&record, "t", &value), -ENODATA);
    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        value = 77;
        assert_int_equal(ss_record_set(&record, "t", cases[i].text), 0);
        assert_int_equal(ss_record_get_time(&record, "t", &value), cases[i].value < 0 ? -EBADMSG : 0);
        assert_int_equal(value, cases[i].value < 0 ? 77 : cases[i].value);
        if (cases[i].value >= 0) {
            assert_int_equal(ss_record_set_time(&record, "t", value), 0);
            assert_string_equal(ss_record_get(&record, "t"), cases[i].text);
        }
    }
    assert_int_equal(ss_record_set_time(&record, "t", -1), -EINVAL);
    assert_int_equal(ss_record_set_time(&record, "t", 253402300800), -EINVAL);
    assert_int_equal(ss_record_set_time(&record, "t", INT64_MAX), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_lines),    cmocka_unit_test(test_malformed_lines),
        cmocka_unit_test(test_nul_and_cuts),  cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_set_and_unset), cmocka_unit_test(test_set_from_itself),
        cmocka_unit_test(test_bad_keys),      cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_most_fields),   cmocka_unit_test(test_encode_size),
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_times),
        cmocka_unit_test(test_calendar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
