#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/finding.h"
#include "core/util.h"

/* Programs and the records on disk rely on this table: a row may be added, never changed. */
static const struct {
    const char *id;
    enum ss_finding finding;
    enum ss_class class;
} stable[] = {
    {"clean", SS_CLEAN, SS_CLASS_INTACT},
    {"writer-killed", SS_WRITER_KILLED, SS_CLASS_DAMAGED},
    {"writer-exited", SS_WRITER_EXITED, SS_CLASS_DAMAGED},
    {"writer-vanished", SS_WRITER_VANISHED, SS_CLASS_DAMAGED},
    {"write-failed", SS_WRITE_FAILED, SS_CLASS_DAMAGED},
    {"writes-unseen", SS_WRITES_UNSEEN, SS_CLASS_UNKNOWN},
    {"sync-failed", SS_SYNC_FAILED, SS_CLASS_DAMAGED},
    {"format-incomplete", SS_FORMAT_INCOMPLETE, SS_CLASS_DAMAGED},
    {"name-taken", SS_NAME_TAKEN, SS_CLASS_DAMAGED},
    {"publish-failed", SS_PUBLISH_FAILED, SS_CLASS_DAMAGED},
    {"daemon-died", SS_DAEMON_DIED, SS_CLASS_DAMAGED},
    {"closed-unpublished", SS_CLOSED_UNPUBLISHED, SS_CLASS_UNKNOWN},
    {"draft-in-progress", SS_DRAFT_IN_PROGRESS, SS_CLASS_TEMPORARY},
    {"draft-waiting", SS_DRAFT_WAITING, SS_CLASS_TEMPORARY},
    {"intact", SS_INTACT, SS_CLASS_INTACT},
    {"unsealed", SS_UNSEALED, SS_CLASS_UNKNOWN},
    {"header-mismatch", SS_HEADER_MISMATCH, SS_CLASS_DAMAGED},
    {"content-mismatch", SS_CONTENT_MISMATCH, SS_CLASS_DAMAGED},
    {"truncated", SS_TRUNCATED, SS_CLASS_DAMAGED},
    {"grown", SS_GROWN, SS_CLASS_DAMAGED},
    {"seal-invalid", SS_SEAL_INVALID, SS_CLASS_DAMAGED},
    {"seal-too-new", SS_SEAL_TOO_NEW, SS_CLASS_UNKNOWN},
    {"changed-while-reading", SS_CHANGED_WHILE_READING, SS_CLASS_TEMPORARY},
    {"not-found", SS_NOT_FOUND, SS_CLASS_INVALID},
    {"not-a-file", SS_NOT_A_FILE, SS_CLASS_INVALID},
    {"not-a-draft", SS_NOT_A_DRAFT, SS_CLASS_INVALID},
    {"dest-exists", SS_DEST_EXISTS, SS_CLASS_INVALID},
    {"no-permission", SS_NO_PERMISSION, SS_CLASS_INVALID},
    {"io-error", SS_IO_ERROR, SS_CLASS_TEMPORARY},
    {"usage", SS_USAGE, SS_CLASS_INVALID},
    {"header-damaged", SS_HEADER_DAMAGED, SS_CLASS_DAMAGED},
    {"stream-damaged", SS_STREAM_DAMAGED, SS_CLASS_DAMAGED},
    {"description-damaged", SS_DESCRIPTION_DAMAGED, SS_CLASS_DAMAGED},
    {"host-incompatible", SS_HOST_INCOMPATIBLE, SS_CLASS_DAMAGED},
    {"bitmap-missing", SS_BITMAP_MISSING, SS_CLASS_INCONSISTENT},
    {"bitmap-unsupported", SS_BITMAP_UNSUPPORTED, SS_CLASS_INVALID},
    {"request-refused", SS_REQUEST_REFUSED, SS_CLASS_INVALID},
    {"busy", SS_BUSY, SS_CLASS_TEMPORARY},
    {"no-space", SS_NO_SPACE, SS_CLASS_TEMPORARY},
    {"host-trouble", SS_HOST_TROUBLE, SS_CLASS_TEMPORARY},
    {"unclassified", SS_UNCLASSIFIED, SS_CLASS_UNKNOWN},
    {"not-local", SS_NOT_LOCAL, SS_CLASS_UNKNOWN},
    {"left-out", SS_LEFT_OUT, SS_CLASS_INTACT},
    {"complete", SS_COMPLETE, SS_CLASS_INTACT},
    {"end-unproven", SS_END_UNPROVEN, SS_CLASS_UNKNOWN},
    {"format-unsupported", SS_FORMAT_UNSUPPORTED, SS_CLASS_UNKNOWN},
    {"structure-damaged", SS_STRUCTURE_DAMAGED, SS_CLASS_DAMAGED},
    {"needs-repair", SS_NEEDS_REPAIR, SS_CLASS_DAMAGED},
    {"differs", SS_DIFFERS, SS_CLASS_DAMAGED},
    {"not-listed", SS_NOT_LISTED, SS_CLASS_UNKNOWN},
    {"not-reached", SS_NOT_REACHED, SS_CLASS_TEMPORARY},
    {"quarantined", SS_QUARANTINED, SS_CLASS_UNKNOWN},
};

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(SS_ARRAY_SIZE(stable), SS_FINDING_COUNT);
    for (size_t i = 0; i < SS_ARRAY_SIZE(stable); i++) {
        const struct ss_finding_text *text = ss_finding_text(stable[i].finding);
        assert_string_equal(text->id, stable[i].id);
        assert_int_equal(text->class, stable[i].class);

        enum ss_finding found = SS_FINDING_COUNT;
        assert_int_equal(ss_finding_parse(stable[i].id, &found), 0);
        assert_int_equal(found, stable[i].finding);
    }
}

static void test_unknown_ids(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "Clean", "clean ", "cle", "clean-er", "nothing"};
    enum ss_finding found = SS_USAGE;

    for (size_t i = 0; i < SS_ARRAY_SIZE(ids); i++)
        assert_int_equal(ss_finding_parse(ids[i], &found), -ENOENT);
    assert_int_equal(found, SS_USAGE);
}

/* A clause that reads on after a colon: lower case (but for our name), no stop, short enough for one line of a
 * terminal. */
static void assert_clause(const char *text)
{
    size_t len = strlen(text);

    assert_in_range(len, 1, 78);
    assert_true(islower((unsigned char)text[0]) || strncmp(text, "Saveseal", 8) == 0);
    assert_null(strchr(".!? ", text[len - 1]));
    for (size_t i = 0; i < len; i++)
        assert_true(isprint((unsigned char)text[i]));
}

static void test_texts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SS_FINDING_COUNT; i++) {
        const struct ss_finding_text *text = ss_finding_text((enum ss_finding)i);
        assert_clause(text->sentence);
        if (text->class == SS_CLASS_INTACT)
            assert_string_equal(text->advice, "");
        else
            assert_clause(text->advice);
    }
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        enum ss_class class;
        int exit_code;
        const char *name;
    } by_severity[] = {
        {SS_CLASS_DAMAGED, 1, "damaged"},         {SS_CLASS_INCONSISTENT, 5, "checkpoint-inconsistent"},
        {SS_CLASS_INVALID, 2, "invalid-request"}, {SS_CLASS_TEMPORARY, 3, "temporary"},
        {SS_CLASS_UNKNOWN, 4, "unknown"},         {SS_CLASS_INTACT, 0, "intact"},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(by_severity); i++) {
        assert_int_equal(by_severity[i].class, by_severity[i].exit_code);
        assert_string_equal(ss_class_name(by_severity[i].class), by_severity[i].name);
        for (size_t j = 0; j < SS_ARRAY_SIZE(by_severity); j++)
            assert_int_equal(ss_class_worse(by_severity[i].class, by_severity[j].class),
                             by_severity[i < j ? i : j].class);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_unknown_ids),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_classes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
