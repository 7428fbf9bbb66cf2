/* Manifests: whole, cut, edited, and which files are below a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those before it. */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/manifest.h"
#include "core/util.h"

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"
#define COMMENT(sha256) "# saveseal/1 sha256=" sha256 " size=5 verity-sha256=" B "\n"
#define FILE_A COMMENT(A) A "  a\n"
#define FILE_B COMMENT(B) B "  sub/b\n"
#define END(count) "# saveseal/1 manifest-end=" #count "\n"
#define WHOLE SS_MANIFEST_HEAD FILE_A FILE_B END(2)

static int decode(const char *text, size_t len)
{
    struct ss_manifest manifest;
    size_t line;

    int r = ss_manifest_decode(text, len, &manifest, &line);
    if (r == 0)
        ss_manifest_free(&manifest);
    return r;
}

static void expect(int wanted, const char *text)
{
    int r = decode(text, strlen(text));
    if (r != wanted)
        fail_msg("%d instead of %d for:\n%s", r, wanted, text);
}

/* What is cut anywhere is refused; but for the last newline, without which nothing is missing. */
static void test_cut(void **state)
{
    (void)state;
    expect(0, WHOLE);
    for (size_t len = strlen("# saveseal/"); len < strlen(WHOLE) - 1; len++) {
        assert_true(ss_manifest_probe(WHOLE, len));
        if (decode(WHOLE, len) == 0)
            fail_msg("cut to %zu bytes it is taken for whole", len);
    }
    expect(0, SS_MANIFEST_HEAD END(0));
    expect(0, WHOLE WHOLE);
    expect(-ENODATA, SS_MANIFEST_HEAD FILE_A FILE_B);
    expect(-ENODATA, SS_MANIFEST_HEAD FILE_A WHOLE);
    expect(-ENODATA, WHOLE SS_MANIFEST_HEAD);
}

static void test_edited(void **state)
{
    (void)state;
    expect(-ENODATA, SS_MANIFEST_HEAD FILE_A END(2));        /* a file was taken out */
    expect(-ENODATA, SS_MANIFEST_HEAD FILE_A FILE_B END(1)); /* or added */
    expect(-ENODATA, SS_MANIFEST_HEAD FILE_A FILE_B END(20));
    expect(-EBADMSG, SS_MANIFEST_HEAD FILE_A FILE_B END(-2));
    expect(-EBADMSG, END(0) SS_MANIFEST_HEAD);                                                       /* sorted */
    expect(-EBADMSG, SS_MANIFEST_HEAD COMMENT(A) COMMENT(B) A "  a\n" B "  b\n" END(2));             /* sorted */
    expect(-EBADMSG, SS_MANIFEST_HEAD COMMENT(B) A "  a\n" END(1));                                  /* another's */
    expect(-EBADMSG, SS_MANIFEST_HEAD "# saveseal/1 size=5 verity-sha256=" B "\n" A "  a\n" END(1)); /* whose? */
    expect(-ENODATA, FILE_A COMMENT(B));
    expect(-EPROTONOSUPPORT, "# saveseal/1 manifest=2\n" FILE_A END(1));
    expect(0, SS_MANIFEST_HEAD "# a word\n\n" FILE_A FILE_B END(2) "# more\n");
    expect(0, WHOLE A "  added\n"); /* by sha256sum */
}

/* What sha256sum writes has no end, and none is asked for. */
static void test_plain(void **state)
{
    static const char lines[] = A "  a\n" B " *b\n\\" B "  c\\nd\n";

    (void)state;
    expect(0, lines);
    expect(0, "");
    assert_true(ss_manifest_probe(lines, strlen(lines)));
    assert_true(ss_manifest_probe("# made by hand\n\n" A "  a\n", 100));
    assert_false(ss_manifest_probe("#!/bin/sh\necho hello\n", 21));
    assert_false(ss_manifest_probe(A "  ", strlen(A) + 2));
    assert_true(ss_manifest_probe(A "  a", strlen(A) + 3));
    assert_false(ss_manifest_probe(A "1  a\n", strlen(A) + 5));
    assert_false(ss_manifest_probe("", 0));
}

static void test_foreign(void **state)
{
    static const char *const foreign[] = {
        "11111111111111111111111111111111  a\n",
        A A "  a\n",
        "\\1111111111111111111111111111111111111111 *a\\nb\n",
        "SHA256 (a) = " A "\n",
        "# by somebody\nMD5 (a) = 11\n",
    };
    static const char *const other[] = {A "  a\n", WHOLE, "", "1111  a\n", "MD5", "hello", "#\n"};

    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(foreign); i++) {
        assert_true(ss_manifest_is_foreign(foreign[i], strlen(foreign[i])));
        assert_false(ss_manifest_probe(foreign[i], strlen(foreign[i])));
    }
    for (size_t i = 0; i < SS_ARRAY_SIZE(other); i++)
        assert_false(ss_manifest_is_foreign(other[i], strlen(other[i])));
}

static int append(void *context, const struct ss_manifest_entry *entry)
{
    char *text = context;

    strcat(strcat(text, entry->name), " ");
    return 0;
}

static void test_below(void **state)
{
    static const struct {
        const char *dir, *names;
    } rows[] = {
        {".", "-x a a-b a/b a/b/c ab "},
        {"", "-x a a-b a/b a/b/c ab "},
        {"a", "a/b a/b/c "},
        {"./a//", "a/b a/b/c "},
        {"a/b", "a/b/c "},
        {"a/b/c", ""},
        {"/", "/r/s /t "},
        {"/r", "/r/s "},
        {"..", "../u "},
        {"none", ""},
        {"a/.", "a/b a/b/c "},
    };
    struct ss_manifest manifest;
    size_t line;
    char text[1024] = "", found[256];

    (void)state;
    static const char *const names[] = {"a/b/c", "-x", "/t", "a-b", "../u", "ab", "a", "/r/s", "a/b"};
    for (size_t i = 0; i < SS_ARRAY_SIZE(names); i++)
        strcat(strcat(strcat(text, A "  "), names[i]), "\n");
    assert_int_equal(ss_manifest_decode(text, strlen(text), &manifest, &line), 0);
    for (size_t i = 0; i < SS_ARRAY_SIZE(rows); i++) {
        found[0] = '\0';
        assert_int_equal(ss_manifest_below(&manifest, rows[i].dir, append, found), 0);
        assert_string_equal(found, rows[i].names);
    }
    ss_manifest_free(&manifest);
}

/* What is written can be read. */
static void test_written(void **state)
{
    struct ss_reference is = {.size = 5};
    char end[SS_MANIFEST_END_SIZE], *text;
    struct ss_manifest manifest;
    size_t line;

    (void)state;
    SS_AUTO_FREE char *lines = ss_manifest_lines("new\nline", &is);
    ss_manifest_end(1, end);
    assert_true(asprintf(&text, "%s%s%s", SS_MANIFEST_HEAD, lines, end) > 0);
    assert_int_equal(ss_manifest_decode(text, strlen(text), &manifest, &line), 0);
    assert_int_equal(manifest.count, 1);
    assert_string_equal(manifest.entry[0].name, "new\nline");
    assert_true(manifest.entry[0].is.has_verity && manifest.entry[0].is.has_size && manifest.entry[0].is.has_sha256);
    ss_manifest_free(&manifest);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_edited), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_foreign), cmocka_unit_test(test_below),  cmocka_unit_test(test_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
