/* What a file is remembered by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those before it. */
#include <cmocka.h>
#include <string.h>

#include "core/check/verify_state.h"

static const struct stat file = {.st_dev = 1,
                                 .st_ino = 2,
                                 .st_size = 3,
                                 .st_mtim = {.tv_sec = 4, .tv_nsec = 5},
                                 .st_ctim = {.tv_sec = 6, .tv_nsec = 7}};

static bool same(const struct stat *a, uint64_t a_fs, const struct stat *b, uint64_t b_fs)
{
    char left[SS_VERIFY_STAMP_SIZE], right[SS_VERIFY_STAMP_SIZE];

    ss_verify_stamp(a, a_fs, left);
    ss_verify_stamp(b, b_fs, right);
    return strcmp(left, right) == 0;
}

/* Each change is one. */
static void test_changes(void **state)
{
    struct stat other;

    (void)state;
    assert_true(same(&file, 9, &file, 9));
    other = file;
    other.st_ino++;
    assert_false(same(&file, 9, &other, 9));
    other = file;
    other.st_size++;
    assert_false(same(&file, 9, &other, 9));
    other = file;
    other.st_mtim.tv_nsec++;
    assert_false(same(&file, 9, &other, 9));
    other = file;
    other.st_ctim.tv_nsec++;
    assert_false(same(&file, 9, &other, 9));
}

/* Another disk at the same place is told by its id; where it has none, by its number. */
static void test_disks(void **state)
{
    struct stat moved = file;

    (void)state;
    moved.st_dev++; /* after another mount */
    assert_false(same(&file, 9, &file, 10));
    assert_true(same(&file, 9, &moved, 9));
    assert_false(same(&file, 0, &moved, 0));
    assert_true(same(&file, 0, &file, 0));
    assert_false(same(&file, 0, &file, file.st_dev)); /* a number is no id */
}

static void test_id(void **state)
{
    struct statfs fs;

    (void)state;
    memset(&fs, 0, sizeof fs);
    assert_int_equal(ss_verify_fs(&fs), 0);
    memset(&fs.f_fsid, 0x11, sizeof fs.f_fsid);
    assert_true(ss_verify_fs(&fs) == UINT64_C(0x1111111111111111));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_disks),
        cmocka_unit_test(test_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
