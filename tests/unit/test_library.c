/* libsaveseal as a program has it: by its header alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <saveseal.h>

#include <errno.h>
#include <sys/stat.h>

#include "saved.h"

#define CANARY 4711 /* in errno before each call */

/* The finding's id. The caller frees the result. */
static const char *checked(const char *name, const saveseal_options *options, saveseal_result **result)
{
    *result = NULL;
    errno = CANARY;
    assert_int_equal(saveseal_check_path(saved(name), options, result), 0);
    assert_int_equal(errno, CANARY);
    assert_non_null(*result);
    return saveseal_finding_id(saveseal_result_finding(*result));
}

static void assert_finding(const char *name, const saveseal_options *options, const char *id, int class_)
{
    saveseal_result *result;

    assert_string_equal(checked(name, options, &result), id);
    assert_int_equal(saveseal_result_class(result), class_);
    assert_int_equal(strncmp(saveseal_result_text(result), id, strlen(id)), 0);
    saveseal_result_free(result);
}

static saveseal_options *options_of(enum saveseal_level level)
{
    saveseal_options *options = NULL;

    assert_int_equal(saveseal_options_new(&options), 0);
    assert_int_equal(saveseal_options_set_level(options, level), 0);
    return options;
}

/* ---- the table ---- */

static void test_version(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", SAVESEAL_VERSION_MAJOR, SAVESEAL_VERSION_MINOR, SAVESEAL_VERSION_PATCH);
    assert_string_equal(saveseal_version(), text);
}

static void test_findings(void **state)
{
    const saveseal_finding *finding;
    unsigned seen = 0;
    size_t count = 0;

    (void)state;
    for (; (finding = saveseal_finding_at(count)); count++) {
        int class_ = saveseal_finding_class(finding);
        assert_in_range(class_, 0, 5);
        seen |= 1U << class_;
        assert_ptr_equal(saveseal_finding_by_id(saveseal_finding_id(finding)), finding);
        assert_true(strlen(saveseal_finding_sentence(finding)) > 0);
        assert_int_equal(strlen(saveseal_finding_advice(finding)) == 0, class_ == SAVESEAL_CLASS_INTACT);
        assert_true(strlen(saveseal_finding_since(finding)) >= 3);
    }
    assert_true(count >= 50);
    assert_int_equal(seen, 0x3f);
    assert_null(saveseal_finding_at(SIZE_MAX));
    assert_null(saveseal_finding_by_id("nothing"));
    assert_null(saveseal_finding_by_id(NULL));
    assert_null(saveseal_finding_id(NULL));
    assert_null(saveseal_finding_sentence(NULL));
    assert_null(saveseal_finding_advice(NULL));
    assert_null(saveseal_finding_since(NULL));
    assert_int_equal(saveseal_finding_class(NULL), SAVESEAL_CLASS_UNKNOWN);
}

static void test_classes(void **state)
{
    static const int by_severity[] = {1, 5, 2, 3, 4, 0};
    static const char *const names[] = {"intact",    "damaged", "invalid-request",
                                        "temporary", "unknown", "checkpoint-inconsistent"};

    (void)state;
    for (int i = 0; i < 6; i++) {
        assert_string_equal(saveseal_class_name((enum saveseal_class)i), names[i]);
        for (int j = 0; j < 6; j++)
            assert_int_equal(
                saveseal_class_worse((enum saveseal_class)by_severity[i], (enum saveseal_class)by_severity[j]),
                by_severity[i < j ? i : j]);
    }
    assert_null(saveseal_class_name((enum saveseal_class)6));
    assert_null(saveseal_class_name((enum saveseal_class) - 1));
    assert_int_equal(saveseal_class_worse((enum saveseal_class)99, SAVESEAL_CLASS_INTACT), SAVESEAL_CLASS_UNKNOWN);
    assert_int_equal(saveseal_class_worse(SAVESEAL_CLASS_TEMPORARY, (enum saveseal_class) - 9),
                     SAVESEAL_CLASS_TEMPORARY);
}

static void test_classify(void **state)
{
    static const struct {
        int code;
        const char *message, *id;
    } errors[] = {
        {9, "operation failed: save image is incomplete", "format-incomplete"},
        {0, "error: operation failed: x: No space left on device", "no-space"},
        {109, NULL, "bitmap-missing"},
        {0, NULL, "unclassified"},
        {-1, "", "unclassified"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        assert_string_equal(saveseal_finding_id(saveseal_classify(errors[i].code, errors[i].message)), errors[i].id);
}

/* ---- what is found ---- */

static void test_sealed(void **state)
{
    saveseal_result *result;

    (void)state;
    make_image("vm");
    assert_string_equal(checked("vm", NULL, &result), "intact");
    assert_int_equal(saveseal_result_class(result), SAVESEAL_CLASS_INTACT);
    assert_string_equal(saveseal_result_text(result), "intact: the image is what was saved");
    assert_string_equal(saveseal_result_detail(result), "");
    assert_int_equal(saveseal_result_size(result), IMAGE_SIZE);
    assert_int_equal(saveseal_result_is_draft(result), 0);
    assert_int_equal(saveseal_result_content_compared(result), 1);
    assert_null(saveseal_result_inside_kind(result));

    const saveseal_seal *seal = saveseal_result_seal(result);
    assert_non_null(seal);
    assert_int_equal(saveseal_seal_time(seal), 1709251199);
    assert_int_equal(saveseal_seal_size(seal), IMAGE_SIZE);
    assert_string_equal(saveseal_seal_format(seal), "unknown");
    assert_string_equal(saveseal_seal_writer(seal), "libvirtd (2)");
    assert_string_equal(saveseal_seal_verity(seal), IMAGE_VERITY);
    saveseal_result_free(result);
}

static void test_levels(void **state)
{
    saveseal_options *quick = options_of(SAVESEAL_LEVEL_QUICK), *whole = options_of(SAVESEAL_LEVEL_WHOLE),
                     *deep = options_of(SAVESEAL_LEVEL_DEEP);
    saveseal_result *result;

    (void)state;
    make_image("vm");
    spoil("vm", 5000); /* behind the header */
    assert_string_equal(checked("vm", quick, &result), "intact");
    assert_int_equal(saveseal_result_content_compared(result), 0);
    saveseal_result_free(result);
    assert_finding("vm", whole, "content-mismatch", SAVESEAL_CLASS_DAMAGED);
    assert_finding("vm", NULL, "content-mismatch", SAVESEAL_CLASS_DAMAGED);
    make_image("vm");
    assert_string_equal(checked("vm", deep, &result), "intact");
    assert_string_equal(saveseal_result_inside_kind(result), "unknown");
    assert_non_null(saveseal_result_inside_title(result));
    assert_string_equal(saveseal_finding_id(saveseal_result_inside_finding(result)), "end-unproven");
    saveseal_result_free(result);
    saveseal_options_free(quick);
    saveseal_options_free(whole);
    saveseal_options_free(deep);
}

static void test_damaged(void **state)
{
    saveseal_result *result;

    (void)state;
    make_image("vm");
    spoil("vm", 0);
    assert_finding("vm", NULL, "header-mismatch", SAVESEAL_CLASS_DAMAGED);
    make_image("vm");
    assert_int_equal(truncate(saved("vm"), 12000), 0);
    assert_string_equal(checked("vm", NULL, &result), "truncated");
    assert_string_equal(saveseal_result_detail(result), "12000 bytes, sealed with 12345");
    assert_string_equal(saveseal_result_text(result),
                        "truncated: the end of the image is missing (12000 bytes, sealed with 12345); "
                        "do not use it: restore another copy");
    assert_int_equal(saveseal_result_content_compared(result), 0);
    assert_int_equal(saveseal_seal_size(saveseal_result_seal(result)), IMAGE_SIZE);
    saveseal_result_free(result);
    make_file("part", "LibvirtQemudPart", 16);
    assert_string_equal(checked("part", NULL, &result), "format-incomplete");
    assert_string_equal(saveseal_result_inside_kind(result), "libvirt");
    assert_ptr_equal(saveseal_result_inside_finding(result), saveseal_result_finding(result));
    saveseal_result_free(result);
}

static void test_seals_without(void **state)
{
    saveseal_result *result;

    (void)state;
    make_image("vm");
    set_attribute("vm", "user.saveseal.seal", "saveseal/2 x=y");
    assert_string_equal(checked("vm", NULL, &result), "seal-too-new");
    assert_null(saveseal_result_seal(result));
    saveseal_result_free(result);
    set_attribute("vm", "user.saveseal.seal", "nonsense");
    assert_finding("vm", NULL, "seal-invalid", SAVESEAL_CLASS_DAMAGED);
    set_attribute("vm", "user.saveseal.seal",
                  "saveseal/1 format=unknown header=4096 "
                  "header-sha256=d41d438c379110c7f7b2c561b1f04f26c1b4549110791f8e022f48974280c13e size=12345 "
                  "sealed=2024-02-29T23:59:59Z writer=");
    assert_string_equal(checked("vm", NULL, &result), "intact");
    assert_int_equal(saveseal_result_content_compared(result), 0);
    assert_null(saveseal_seal_verity(saveseal_result_seal(result)));
    assert_string_equal(saveseal_seal_writer(saveseal_result_seal(result)), "");
    saveseal_result_free(result);
}

static void test_unknown(void **state)
{
    saveseal_result *result;

    (void)state;
    make_file("vm", "some text", 9);
    assert_string_equal(checked("vm", NULL, &result), "unsealed");
    assert_int_equal(saveseal_result_class(result), SAVESEAL_CLASS_UNKNOWN);
    assert_null(saveseal_result_seal(result));
    assert_string_equal(saveseal_result_inside_kind(result), "unknown");
    saveseal_result_free(result);
}

static void test_requests(void **state)
{
    (void)state;
    assert_finding("vm", NULL, "not-found", SAVESEAL_CLASS_INVALID_REQUEST);
    assert_finding("", NULL, "not-a-file", SAVESEAL_CLASS_INVALID_REQUEST);
    assert_int_equal(mkfifo(saved("vm"), 0600), 0);
    assert_finding("vm", NULL, "not-a-file", SAVESEAL_CLASS_INVALID_REQUEST);
}

static void test_drafts(void **state)
{
    saveseal_result *result;

    (void)state;
    make_draft();
    assert_string_equal(checked(DRAFT, NULL, &result), "writer-killed");
    assert_int_equal(saveseal_result_is_draft(result), 1);
    assert_int_equal(saveseal_result_size(result), 4);
    assert_string_equal(saveseal_result_detail(result), "killed by signal 9");
    assert_null(saveseal_result_seal(result));
    saveseal_result_free(result);
    assert_finding("vm", NULL, "not-found", SAVESEAL_CLASS_INVALID_REQUEST);
    int writer = make_live_draft();
    assert_finding(DRAFT, NULL, "draft-in-progress", SAVESEAL_CLASS_TEMPORARY);
    assert_finding("vm", NULL, "draft-in-progress", SAVESEAL_CLASS_TEMPORARY); /* it is being saved */
    close(writer);
}

static void test_bitmaps(void **state)
{
    saveseal_result *result;

    (void)state;
    make_qcow2("disk");
    assert_int_equal(saveseal_check_bitmap(saved("disk"), "ck\0331", "vda", &result), 0);
    assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), "bitmap-missing");
    assert_int_equal(saveseal_result_class(result), SAVESEAL_CLASS_CHECKPOINT_INCONSISTENT);
    assert_int_equal(saveseal_result_size(result), 4 * 65536);
    assert_non_null(strstr(saveseal_result_detail(result), "bitmap 'ck\0331' for disk 'vda'"));
    assert_non_null(strstr(saveseal_result_text(result), "bitmap 'ck?1' for disk 'vda'")); /* fit for a terminal */
    saveseal_result_free(result);
    assert_int_equal(saveseal_check_bitmap(saved("disk"), "ck1", NULL, &result), 0);
    assert_non_null(strstr(saveseal_result_detail(result), "for disk 'disk'"));
    saveseal_result_free(result);
    make_file("disk", "raw", 3);
    assert_int_equal(saveseal_check_bitmap(saved("disk"), "ck1", "vda", &result), 0);
    assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), "bitmap-unsupported");
    saveseal_result_free(result);
}

/* ---- by a descriptor ---- */

static int check_open(int fd, const char **id)
{
    saveseal_result *result = NULL;

    errno = CANARY;
    int r = saveseal_check_fd(fd, NULL, &result);
    assert_int_equal(errno, CANARY);
    assert_int_equal(r == 0, result != NULL);
    *id = saveseal_finding_id(saveseal_result_finding(result));
    saveseal_result_free(result);
    return r;
}

static void test_descriptors(void **state)
{
    const char *id;
    int pipes[2];

    (void)state;
    make_image("vm");
    int fd = open(saved("vm"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
    assert_int_equal(rename(saved("vm"), saved("old")), 0);
    make_file("vm", "another", 7);
    assert_int_equal(check_open(fd, &id), 0);
    assert_string_equal(id, "intact"); /* the file that is open, not the one that has its name */
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
    assert_int_equal(unlink(saved("old")), 0);
    assert_int_equal(check_open(fd, &id), 0);
    assert_string_equal(id, "intact");
    close(fd);
    assert_int_equal(check_open(fd, &id), -EBADF);
    assert_int_equal(check_open(-1, &id), -EBADF);
    fd = open(saved("vm"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(check_open(fd, &id), -EBADF);
    close(fd);
    fd = open(saved("vm"), O_PATH | O_CLOEXEC);
    assert_int_equal(check_open(fd, &id), -EBADF);
    close(fd);
    fd = open(saved_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(check_open(fd, &id), 0);
    assert_string_equal(id, "not-a-file");
    close(fd);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(check_open(pipes[0], &id), 0);
    assert_string_equal(id, "not-a-file");
    close(pipes[0]);
    close(pipes[1]);
}

static void test_draft_descriptors(void **state)
{
    const char *id;

    (void)state;
    int writer = make_live_draft();
    int fd = open(saved(DRAFT), O_RDONLY | O_CLOEXEC);
    assert_int_equal(check_open(fd, &id), 0);
    assert_string_equal(id, "draft-in-progress");
    close(writer);
    make_draft();
    assert_int_equal(check_open(fd, &id), 0);
    assert_string_equal(id, "writer-killed");
    close(fd);
}

/* ---- how it is run ---- */

struct watch {
    saveseal_options *cancels; /* at the first call */
    int refuses;               /* the same */
    unsigned calls;
    uint64_t done;
};

static int look_on(void *context, uint64_t done, uint64_t size)
{
    struct watch *watch = context;

    assert_int_equal(size, LONG_SIZE);
    assert_in_range(done, watch->done, size);
    watch->done = done;
    watch->calls++;
    saveseal_options_cancel(watch->cancels);
    return watch->refuses;
}

static int check_long(saveseal_options *options, struct watch *watch)
{
    saveseal_result *result = NULL;

    assert_int_equal(saveseal_options_set_progress(options, look_on, watch), 0);
    int r = saveseal_check_path(saved("long"), options, &result);
    assert_int_equal(r == 0, result != NULL);
    if (result)
        assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), "intact");
    saveseal_result_free(result);
    return r;
}

static void test_progress(void **state)
{
    saveseal_options *options = options_of(SAVESEAL_LEVEL_WHOLE);
    struct watch all = {0}, refusing = {.refuses = 1}, alone = {0};

    (void)state;
    make_long("long");
    assert_int_equal(check_long(options, &all), 0);
    assert_int_equal(all.calls, LONG_SIZE / LONG_STEP);
    assert_int_equal(all.done, LONG_SIZE);
    assert_int_equal(check_long(options, &refusing), -ECANCELED);
    assert_int_equal(refusing.calls, 1);
    assert_int_equal(saveseal_options_set_threads(options, 1), 0);
    assert_int_equal(check_long(options, &alone), 0);
    assert_int_equal(alone.calls, LONG_SIZE / LONG_STEP);
    saveseal_options_free(options);
}

static int count_calls(void *context, uint64_t done, uint64_t size)
{
    (void)done;
    (void)size;
    ++*(unsigned *)context;
    return 0;
}

/* Nobody wants to hear how far a short check is, whatever its format. */
static void test_no_progress(void **state)
{
    saveseal_options *options = options_of(SAVESEAL_LEVEL_DEEP);
    saveseal_result *result;
    unsigned calls = 0;

    (void)state;
    make_save("save", 0);
    make_save("packed", 1);
    assert_int_equal(saveseal_options_set_progress(options, count_calls, &calls), 0);
    checked("save", options, &result);
    saveseal_result_free(result);
    checked("packed", options, &result);
    saveseal_result_free(result);
    assert_int_equal(calls, 0);
    saveseal_options_free(options);
}

static void test_cancel(void **state)
{
    saveseal_options *options = options_of(SAVESEAL_LEVEL_WHOLE);
    struct watch once = {.cancels = options}, none = {0};

    (void)state;
    make_long("long");
    assert_int_equal(saveseal_options_set_threads(options, 1), 0);
    assert_int_equal(check_long(options, &once), -ECANCELED);
    assert_int_equal(once.calls, 1);
    assert_int_equal(check_long(options, &none), -ECANCELED); /* for good */
    assert_int_equal(none.calls, 0);
    saveseal_options_free(options);
    saveseal_options_cancel(NULL);
}

static void test_wrong_arguments(void **state)
{
    char untouched;
    saveseal_result *const before = (saveseal_result *)(void *)&untouched, *result = before;
    saveseal_options *options = options_of(SAVESEAL_LEVEL_WHOLE);

    (void)state;
    assert_int_equal(saveseal_check_path(NULL, NULL, &result), -EINVAL);
    assert_int_equal(saveseal_check_path("x", NULL, NULL), -EINVAL);
    assert_int_equal(saveseal_check_fd(0, NULL, NULL), -EINVAL);
    assert_int_equal(saveseal_check_fd(-1, NULL, &result), -EBADF);
    assert_int_equal(saveseal_check_bitmap(NULL, "b", NULL, &result), -EINVAL);
    assert_int_equal(saveseal_check_bitmap("x", NULL, NULL, &result), -EINVAL);
    assert_int_equal(saveseal_check_bitmap("x", "", NULL, &result), -EINVAL);
    assert_int_equal(saveseal_check_bitmap("x", "b", NULL, NULL), -EINVAL);
    assert_int_equal(saveseal_options_new(NULL), -EINVAL);
    assert_int_equal(saveseal_options_set_level(NULL, SAVESEAL_LEVEL_DEEP), -EINVAL);
    assert_int_equal(saveseal_options_set_level(options, (enum saveseal_level)3), -EINVAL);
    assert_int_equal(saveseal_options_set_level(options, (enum saveseal_level) - 1), -EINVAL);
    assert_int_equal(saveseal_options_set_threads(NULL, 1), -EINVAL);
    assert_int_equal(saveseal_options_set_progress(NULL, NULL, NULL), -EINVAL);
    saveseal_options_cancel(options);
    assert_int_equal(saveseal_check_path("x", options, &result), -ECANCELED);
    assert_ptr_equal(result, before);
    saveseal_options_free(options);
    saveseal_options_free(NULL);
    saveseal_result_free(NULL);
}

static void test_of_nothing(void **state)
{
    (void)state;
    assert_null(saveseal_result_finding(NULL));
    assert_int_equal(saveseal_result_class(NULL), SAVESEAL_CLASS_UNKNOWN);
    assert_null(saveseal_result_text(NULL));
    assert_null(saveseal_result_detail(NULL));
    assert_int_equal(saveseal_result_size(NULL), 0);
    assert_int_equal(saveseal_result_is_draft(NULL), 0);
    assert_int_equal(saveseal_result_content_compared(NULL), 0);
    assert_null(saveseal_result_seal(NULL));
    assert_int_equal(saveseal_seal_time(NULL), 0);
    assert_int_equal(saveseal_seal_size(NULL), 0);
    assert_null(saveseal_seal_format(NULL));
    assert_null(saveseal_seal_writer(NULL));
    assert_null(saveseal_seal_verity(NULL));
    assert_null(saveseal_result_inside_kind(NULL));
    assert_null(saveseal_result_inside_title(NULL));
    assert_null(saveseal_result_inside_finding(NULL));
    assert_int_equal(saveseal_result_fact_count(NULL), 0);
    assert_null(saveseal_result_fact_key(NULL, 0));
    assert_null(saveseal_result_fact_text(NULL, 0));
    assert_null(saveseal_result_fact(NULL, "domain"));
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_saved_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_version),     TEST(test_findings),
        TEST(test_classes),     TEST(test_classify),
        TEST(test_sealed),      TEST(test_levels),
        TEST(test_damaged),     TEST(test_seals_without),
        TEST(test_unknown),     TEST(test_requests),
        TEST(test_drafts),      TEST(test_bitmaps),
        TEST(test_descriptors), TEST(test_draft_descriptors),
        TEST(test_progress),    TEST(test_no_progress),
        TEST(test_cancel),      TEST(test_wrong_arguments),
        TEST(test_of_nothing),
    };

    return cmocka_run_group_tests(tests, make_saved_dir, remove_saved_dir);
}
