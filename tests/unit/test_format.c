#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <byteswap.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/format.h"
#include "core/util.h"
#include "file.h"

#define LIBVIRT_LEN 92

static struct ss_format_probe probe(const void *head, size_t len, uint64_t size)
{
    struct ss_format_probe result;

    memset(&result, 0xa5, sizeof result);
    ss_format_probe(head, len, size, &result);
    return result;
}

static void assert_probe(const struct ss_format_probe *result, enum ss_format format, enum ss_completion completion,
                         uint64_t header_len)
{
    assert_int_equal(result->format, format);
    assert_int_equal(result->completion, completion);
    assert_int_equal(result->header_len, header_len);
    assert_int_equal(completion == SS_COMPLETION_PARTIAL, result->why[0] != '\0');
}

static void put32(unsigned char *at, uint32_t value, bool swapped)
{
    if (swapped)
        value = bswap_32(value);
    memcpy(at, &value, sizeof value);
}

/* A libvirt header as it lies in the file. */
static void make_libvirt(unsigned char head[LIBVIRT_LEN], const char *magic, uint32_t version, uint32_t data_len,
                         uint32_t cookie_offset, bool swapped)
{
    memset(head, 0, LIBVIRT_LEN);
    memcpy(head, magic, 16);
    put32(head + 16, version, swapped);
    put32(head + 20, data_len, swapped);
    put32(head + 24, 1, swapped);
    put32(head + 32, cookie_offset, swapped);
}

static void test_libvirt(void **state)
{
    (void)state;
    static const char done[] = "LibvirtQemudSave", part[] = "LibvirtQemudPart";
    static const struct {
        const char *magic;
        uint32_t version, data_len, cookie_offset;
        enum ss_completion completion;
        uint64_t size, header_len;
        const char *why;
    } cases[] = {
        /* measured: a real save of libvirt 9.0 */
        {done, 2, 66526, 754, SS_COMPLETION_DONE, 677229, 66618, ""},
        {part, 2, 66526, 754, SS_COMPLETION_PARTIAL, 677229, 66618, "the magic is LibvirtQemudPart"},
        {done, 0, 66526, 0, SS_COMPLETION_DONE, 677229, 66618, ""},
        {done, 1, 66526, 0, SS_COMPLETION_DONE, 677229, 66618, ""},
        /* the data ends at, one before, one after the end of the file */
        {done, 2, 1000, 0, SS_COMPLETION_DONE, 1092, 1092, ""},
        {done, 2, 1000, 0, SS_COMPLETION_DONE, 1093, 1092, ""},
        {done, 2, 1000, 0, SS_COMPLETION_PARTIAL, 1091, 1091,
         "the header and its data are 1092 bytes, the file has only 1091"},
        {done, 2, 1, 0, SS_COMPLETION_PARTIAL, 92, 92, "the header and its data are 93 bytes, the file has only 92"},
        {done, 2, 1, 0, SS_COMPLETION_DONE, 93, 93, ""},
        {done, 2, 1000, 0, SS_COMPLETION_PARTIAL, 92, 92,
         "the header and its data are 1092 bytes, the file has only 92"},
        {done, 2, UINT32_MAX, 0, SS_COMPLETION_PARTIAL, 1000, 1000,
         "the header and its data are 4294967387 bytes, the file has only 1000"},
        {done, 2, UINT32_MAX, UINT32_MAX, SS_COMPLETION_DONE, 4294967387, SS_FORMAT_HEADER_MAX, ""},
        {done, 2, UINT32_MAX, 0, SS_COMPLETION_DONE, UINT64_MAX, SS_FORMAT_HEADER_MAX, ""},
        /* one byte more than is ever called a header */
        {done, 2, 16777216 - 92, 0, SS_COMPLETION_DONE, UINT64_MAX, SS_FORMAT_HEADER_MAX, ""},
        {done, 2, 16777216 - 91, 0, SS_COMPLETION_DONE, UINT64_MAX, SS_FORMAT_HEADER_MAX, ""},
        {done, 2, 16777216 - 93, 0, SS_COMPLETION_DONE, UINT64_MAX, SS_FORMAT_HEADER_MAX - 1, ""},
        {part, 2, UINT32_MAX, 0, SS_COMPLETION_PARTIAL, 1000, 1000, "the magic is LibvirtQemudPart"},
        /* the other fields */
        {done, 2, 0, 0, SS_COMPLETION_PARTIAL, 1000, 92, "the header says that its data is 0 bytes long"},
        {part, 2, 0, 0, SS_COMPLETION_PARTIAL, 1000, 92, "the magic is LibvirtQemudPart"},
        {done, 2, 500, 500, SS_COMPLETION_DONE, 1000, 592, ""},
        {done, 2, 500, 501, SS_COMPLETION_PARTIAL, 1000, 592,
         "the header's cookie offset 501 is past its data of 500 bytes"},
        {done, 2, 0, 0xffffffff, SS_COMPLETION_PARTIAL, 1000, 92, "the header says that its data is 0 bytes long"},
        /* versions that no libvirt knows: the fields may mean anything, the magic stays */
        {done, 3, 0, 0xffffffff, SS_COMPLETION_DONE, 100000, 4096, ""},
        {done, 0x01010101, 0, 0xffffffff, SS_COMPLETION_DONE, 100, 100, ""},
        {part, 3, 0, 0xffffffff, SS_COMPLETION_PARTIAL, 100000, 4096, "the magic is LibvirtQemudPart"},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        for (int swapped = 0; swapped < 2; swapped++) {
            /* Version 0 looks the same both ways and is read as native. */
            if (swapped && cases[i].version == 0)
                continue;
            unsigned char head[LIBVIRT_LEN];
            make_libvirt(head, cases[i].magic, cases[i].version, cases[i].data_len, cases[i].cookie_offset, swapped);
            struct ss_format_probe result = probe(head, sizeof head, cases[i].size);
            assert_probe(&result, SS_FORMAT_LIBVIRT, cases[i].completion, cases[i].header_len);
            assert_string_equal(result.why, cases[i].why);
        }
    }
}

/* A header that is not all there yet is a save that has only begun. */
static void test_libvirt_short(void **state)
{
    (void)state;
    static const char *const magics[] = {"LibvirtQemudSave", "LibvirtQemudPart"};

    for (size_t i = 0; i < SS_ARRAY_SIZE(magics); i++) {
        unsigned char head[LIBVIRT_LEN];
        make_libvirt(head, magics[i], 2, 1, 0, false);
        for (size_t size = 0; size < LIBVIRT_LEN; size++) {
            struct ss_format_probe result = probe(head, size, size);
            if (size < 16)
                assert_probe(&result, SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, size);
            else
                assert_probe(&result, SS_FORMAT_LIBVIRT, SS_COMPLETION_PARTIAL, size);
        }
        /* The size is what counts, not what lies behind it in memory. */
        struct ss_format_probe result = probe(head, sizeof head, 91);
        assert_probe(&result, SS_FORMAT_LIBVIRT, SS_COMPLETION_PARTIAL, 91);
    }
}

static void put_be32(unsigned char *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
}

static void test_qemu(void **state)
{
    (void)state;
    unsigned char head[SS_FORMAT_HEAD] = "QEVM";
    struct ss_format_probe result;

    for (uint32_t version = 0; version < 6; version++) {
        put_be32(head + 4, version);
        result = probe(head, sizeof head, 100000);
        assert_probe(&result, version == 3 ? SS_FORMAT_QEMU : SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, 4096);
    }
    put_be32(head + 4, 3);
    for (size_t size = 0; size < 16; size++) {
        result = probe(head, size, size);
        assert_probe(&result, size < 8 ? SS_FORMAT_UNKNOWN : SS_FORMAT_QEMU, SS_COMPLETION_NO_MARK, size);
    }
    result = probe(head, sizeof head, 7);
    assert_probe(&result, SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, 7);
    head[3] = 'm';
    result = probe(head, sizeof head, 100000);
    assert_probe(&result, SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, 4096);
}

static void test_qcow2(void **state)
{
    (void)state;
    unsigned char head[SS_FORMAT_HEAD] = "QFI\xfb";
    struct ss_format_probe result;

    for (uint32_t version = 0; version < 6; version++) {
        for (uint32_t bits = 0; bits < 70; bits++) {
            bool known = version >= 2 && version <= 3 && bits >= 9 && bits <= 21;
            put_be32(head + 4, version);
            put_be32(head + 20, bits);
            result = probe(head, sizeof head, 1 << 20);
            uint64_t cluster = known ? UINT64_C(1) << bits : 4096;
            assert_probe(&result, known ? SS_FORMAT_QCOW2 : SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK,
                         cluster < 1 << 20 ? cluster : 1 << 20);
        }
    }
    put_be32(head + 4, 3);
    put_be32(head + 20, 16);
    for (size_t size = 0; size < 200; size++) {
        result = probe(head, size, size);
        assert_probe(&result, size < 72 ? SS_FORMAT_UNKNOWN : SS_FORMAT_QCOW2, SS_COMPLETION_NO_MARK, size);
    }
}

static void test_unknown(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, INT64_MAX, UINT64_MAX};
    static const char *const heads[] = {"", "LibvirtQemudSav", "LibvirtQemudSavE", "libvirtQemudSave", "GZIP"};
    unsigned char head[SS_FORMAT_HEAD] = {0};

    for (size_t i = 0; i < SS_ARRAY_SIZE(heads); i++) {
        memcpy(head, heads[i], strlen(heads[i]) + 1);
        for (size_t j = 0; j < SS_ARRAY_SIZE(sizes); j++) {
            size_t len = sizes[j] < sizeof head ? (size_t)sizes[j] : sizeof head;
            struct ss_format_probe result = probe(head, len, sizes[j]);
            assert_probe(&result, SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, len);
        }
    }
    /* A file that shrank between a look at its size and the read. */
    struct ss_format_probe result = probe(NULL, 0, 100);
    assert_probe(&result, SS_FORMAT_UNKNOWN, SS_COMPLETION_NO_MARK, 100);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[SS_FORMAT_COUNT] = {"unknown", "libvirt", "qemu", "qcow2"};
    static const char *const wrong[] = {"", "raw", "Libvirt", "qcow", "qcow2 ", "qcow22"};
    enum ss_format format;

    for (unsigned i = 0; i < SS_FORMAT_COUNT; i++) {
        assert_string_equal(ss_format_name((enum ss_format)i), names[i]);
        format = SS_FORMAT_COUNT;
        assert_int_equal(ss_format_parse(names[i], &format), 0);
        assert_int_equal(format, i);
    }
    format = SS_FORMAT_QEMU;
    for (size_t i = 0; i < SS_ARRAY_SIZE(wrong); i++)
        assert_int_equal(ss_format_parse(wrong[i], &format), -EINVAL);
    assert_int_equal(format, SS_FORMAT_QEMU);
}

static void test_descriptor(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    unsigned char head[LIBVIRT_LEN];
    struct ss_format_probe result;

    make_libvirt(head, "LibvirtQemudSave", 2, 5000, 0, false);
    put(fd, head, sizeof head, 0);
    assert_int_equal(ftruncate(fd, 6000), 0);
    assert_int_equal(ss_format_probe_fd(fd, 6000, &result), 0);
    assert_probe(&result, SS_FORMAT_LIBVIRT, SS_COMPLETION_DONE, 5092);
    assert_int_equal(ftruncate(fd, 50), 0);
    assert_int_equal(ss_format_probe_fd(fd, 50, &result), 0);
    assert_probe(&result, SS_FORMAT_LIBVIRT, SS_COMPLETION_PARTIAL, 50);
    assert_int_equal(ss_format_probe_fd(-1, 50, &result), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libvirt),    cmocka_unit_test(test_libvirt_short), cmocka_unit_test(test_qemu),
        cmocka_unit_test(test_qcow2),      cmocka_unit_test(test_unknown),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
