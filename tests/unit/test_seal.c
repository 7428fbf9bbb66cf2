#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/seal.h"
#include "core/util.h"
#include "file.h"

#define HEX_A "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX_B "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
#define MIB (UINT64_C(1) << 20)

static const char good_line[] =
    "saveseal/1 format=libvirt header=66618 header-sha256=" HEX_A " size=677229 verity-sha256=" HEX_B
    " sealed=2024-02-29T23:59:59Z writer=libvirtd%20(2)";

static int decode(const char *line, struct ss_seal *seal)
{
    return ss_seal_decode(line, strlen(line), seal);
}

static void assert_encodes(const struct ss_seal *seal, const char *line)
{
    char buf[SS_RECORD_MAX];

    assert_int_equal(ss_seal_encode(seal, buf, sizeof buf), strlen(line));
    assert_memory_equal(buf, line, strlen(line));
    assert_int_equal(ss_seal_encode(seal, buf, strlen(line)), strlen(line));
    assert_int_equal(ss_seal_encode(seal, buf, strlen(line) - 1), -E2BIG);
}

static void test_codec(void **state)
{
    (void)state;
    struct ss_seal seal;
    char hex[SS_SHA256_HEX_SIZE];

    assert_int_equal(decode(good_line, &seal), 0);
    assert_int_equal(seal.format, SS_FORMAT_LIBVIRT);
    assert_int_equal(seal.header_len, 66618);
    assert_int_equal(seal.size, 677229);
    assert_int_equal(seal.sealed, 1709251199);
    assert_string_equal(seal.writer, "libvirtd (2)");
    ss_sha256_format(&seal.header, hex);
    assert_string_equal(hex, HEX_A);
    assert_true(seal.has_verity);
    ss_sha256_format(&seal.verity, hex);
    assert_string_equal(hex, HEX_B);
    assert_encodes(&seal, good_line);
}

/* A line made of parts, in which a test replaces one. */
struct parts {
    const char *format, *header, *digest, *size, *verity, *sealed, *writer;
};

static const struct parts good_parts = {
    " format=qemu",
    " header=10",
    " header-sha256=" HEX_A,
    " size=10",
    " verity-sha256=" HEX_B,
    " sealed=1970-01-01T00:00:00Z",
    " writer=",
};

static int decode_parts(const struct parts *parts, struct ss_seal *seal)
{
    char line[2 * SS_RECORD_MAX];

    snprintf(line, sizeof line, "saveseal/1%s%s%s%s%s%s%s", parts->format, parts->header, parts->digest, parts->size,
             parts->verity, parts->sealed, parts->writer);
    return decode(line, seal);
}

static void test_good_values(void **state)
{
    (void)state;
    struct parts parts = good_parts;
    struct ss_seal seal;

    assert_int_equal(decode_parts(&parts, &seal), 0);
    assert_string_equal(seal.writer, "");

    parts.verity = "";
    assert_int_equal(decode_parts(&parts, &seal), 0);
    assert_false(seal.has_verity);
    assert_encodes(&seal, "saveseal/1 format=qemu header=10 header-sha256=" HEX_A
                          " size=10 sealed=1970-01-01T00:00:00Z writer=");

    parts = good_parts;
    parts.format = " format=invented-later";
    assert_int_equal(decode_parts(&parts, &seal), 0);
    assert_int_equal(seal.format, SS_FORMAT_UNKNOWN);

    parts = good_parts;
    parts.size = " size=9223372036854775807 new-key=of%20a%20newer%20version";
    parts.header = " header=16777216";
    assert_int_equal(decode_parts(&parts, &seal), 0);
    assert_int_equal(seal.size, INT64_MAX);
    assert_int_equal(seal.header_len, SS_FORMAT_HEADER_MAX);
    /* A forged length would be read at each open, each quick check. */
    parts.header = " header=16777217";
    assert_int_equal(decode_parts(&parts, &seal), -EBADMSG);
    parts.header = " header=9223372036854775807";
    assert_int_equal(decode_parts(&parts, &seal), -EBADMSG);

    parts = good_parts;
    parts.size = " size=0";
    parts.header = " header=0";
    parts.sealed = " sealed=9999-12-31T23:59:59Z";
    parts.writer = " writer=123456789-123456789-123456789-123456789-123456789-123456789-123";
    assert_int_equal(decode_parts(&parts, &seal), 0);
    assert_int_equal(strlen(seal.writer), SS_SEAL_WRITER_MAX - 1);
}

static void test_bad_values(void **state)
{
    (void)state;
    static const struct {
        size_t part;
        const char *value;
    } cases[] = {
        {offsetof(struct parts, format), ""},
        {offsetof(struct parts, format), " format=qemu format=qemu"},
        {offsetof(struct parts, header), ""},
        {offsetof(struct parts, header), " header="},
        {offsetof(struct parts, header), " header=11"},
        {offsetof(struct parts, header), " header=-1"},
        {offsetof(struct parts, header), " header=010"},
        {offsetof(struct parts, header), " header=18446744073709551616"},
        {offsetof(struct parts, digest), ""},
        {offsetof(struct parts, digest), " header-sha256="},
        {offsetof(struct parts, digest), " header-sha256=" HEX_A "0"},
        {offsetof(struct parts, digest),
         " header-sha256=BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {offsetof(struct parts, digest), " header-sha256=sha256:" HEX_A},
        {offsetof(struct parts, size), ""},
        {offsetof(struct parts, size), " size="},
        {offsetof(struct parts, size), " size=9"},
        {offsetof(struct parts, size), " size=10k"},
        {offsetof(struct parts, size), " size=9223372036854775808"},
        {offsetof(struct parts, size), " size=18446744073709551615"},
        {offsetof(struct parts, verity), " verity-sha256="},
        {offsetof(struct parts, verity), " verity-sha256=0"},
        {offsetof(struct parts, sealed), ""},
        {offsetof(struct parts, sealed), " sealed="},
        {offsetof(struct parts, sealed), " sealed=0"},
        {offsetof(struct parts, sealed), " sealed=2023-02-29T00:00:00Z"},
        {offsetof(struct parts, sealed), " sealed=10000-01-01T00:00:00Z"},
        {offsetof(struct parts, writer), ""},
        {offsetof(struct parts, writer), " writer=123456789-123456789-123456789-123456789-123456789-123456789-1234"},
    };

    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        struct parts parts = good_parts;
        struct ss_seal seal = {.size = 77};
        *(const char **)((char *)&parts + cases[i].part) = cases[i].value;
        if (decode_parts(&parts, &seal) != -EBADMSG)
            fail_msg("\"%s\" is not refused", cases[i].value);
        assert_int_equal(seal.size, 77);
    }
}

static void test_bad_lines(void **state)
{
    (void)state;
    struct ss_seal seal;
    char line[SS_RECORD_MAX + 2];

    assert_int_equal(decode("", &seal), -EBADMSG);
    assert_int_equal(decode("saveseal/1", &seal), -EBADMSG);
    assert_int_equal(decode("saveseal/2", &seal), -EPROTONOSUPPORT);
    snprintf(line, sizeof line, "saveseal/1 a=%0*d", SS_RECORD_MAX + 1 - 13, 0);
    assert_int_equal(strlen(line), SS_RECORD_MAX + 1);
    assert_int_equal(decode(line, &seal), -E2BIG);
}

static void test_encode_refuses(void **state)
{
    (void)state;
    char buf[SS_RECORD_MAX];
    struct ss_seal seal;

    assert_int_equal(decode(good_line, &seal), 0);
    seal.header_len = seal.size + 1;
    assert_int_equal(ss_seal_encode(&seal, buf, sizeof buf), -EINVAL);
    seal.size = seal.header_len = UINT64_C(1) << 63;
    assert_int_equal(ss_seal_encode(&seal, buf, sizeof buf), -EINVAL);
    seal.size = INT64_MAX;
    seal.header_len = SS_FORMAT_HEADER_MAX + 1;
    assert_int_equal(ss_seal_encode(&seal, buf, sizeof buf), -EINVAL);
    seal.header_len = SS_FORMAT_HEADER_MAX;
    assert_true(ss_seal_encode(&seal, buf, sizeof buf) > 0);
    seal.sealed = 253402300800;
    assert_int_equal(ss_seal_encode(&seal, buf, sizeof buf), -EINVAL);
    seal.sealed = -1;
    assert_int_equal(ss_seal_encode(&seal, buf, sizeof buf), -EINVAL);
}

/* ---- on files ---- */

static void test_xattr(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    struct ss_seal seal, again;
    char line[SS_RECORD_MAX + 1], *const end = line + sizeof line;

    if (fgetxattr(fd, SS_SEAL_XATTR, NULL, 0) < 0 && errno == EOPNOTSUPP)
        skip();
    assert_int_equal(ss_seal_read(fd, &seal), -ENODATA);
    assert_int_equal(ss_seal_remove(fd), 0);

    assert_int_equal(decode(good_line, &seal), 0);
    assert_int_equal(ss_seal_write(fd, &seal), 0);
    assert_int_equal(ss_seal_read(fd, &again), 0);
    assert_encodes(&again, good_line);
    ssize_t len = fgetxattr(fd, SS_SEAL_XATTR, line, sizeof line);
    assert_int_equal(len, strlen(good_line));
    assert_memory_equal(line, good_line, strlen(good_line));

    seal.size++;
    assert_int_equal(ss_seal_write(fd, &seal), 0);
    assert_int_equal(ss_seal_read(fd, &again), 0);
    assert_int_equal(again.size, seal.size);
    seal.header_len = seal.size + 1;
    assert_int_equal(ss_seal_write(fd, &seal), -EINVAL);

    assert_int_equal(fsetxattr(fd, SS_SEAL_XATTR, "", 0, 0), 0);
    assert_int_equal(ss_seal_read(fd, &again), -EBADMSG);
    assert_int_equal(fsetxattr(fd, SS_SEAL_XATTR, "saveseal/2 x", 12, 0), 0);
    assert_int_equal(ss_seal_read(fd, &again), -EPROTONOSUPPORT);
    memset(line, 'x', sizeof line);
    if (fsetxattr(fd, SS_SEAL_XATTR, line, (size_t)(end - line), 0) == 0)
        assert_int_equal(ss_seal_read(fd, &again), -E2BIG);

    assert_int_equal(ss_seal_remove(fd), 0);
    assert_int_equal(ss_seal_read(fd, &seal), -ENODATA);
    assert_int_equal(ss_seal_read(-1, &seal), -EBADF);
    assert_int_equal(ss_seal_write(-1, &again), -EBADF);
    assert_int_equal(ss_seal_remove(-1), -EBADF);
}

static void test_make(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    struct ss_seal seal = {.size = 77};
    char hex[SS_SHA256_HEX_SIZE];

    /* The empty file. */
    assert_int_equal(ss_seal_make(fd, 1, true, "cp", NULL, &seal), -ENODATA);
    assert_int_equal(seal.size, 77);
    assert_int_equal(ss_seal_make(fd, 0, true, NULL, NULL, &seal), 0);
    assert_int_equal(seal.format, SS_FORMAT_UNKNOWN);
    assert_int_equal(seal.header_len, 0);
    assert_string_equal(seal.writer, "");
    ss_sha256_format(&seal.verity, hex);
    assert_string_equal(hex, HEX_B);
    assert_true(seal.has_verity);

    put(fd, "abc", 3, 0);
    time_t before = time(NULL);
    assert_int_equal(ss_seal_make(fd, 3, false, "cp", NULL, &seal), 0);
    assert_in_range(seal.sealed, before, time(NULL));
    assert_false(seal.has_verity);
    assert_int_equal(seal.header_len, 3);
    assert_int_equal(seal.size, 3);
    ss_sha256_format(&seal.header, hex);
    assert_string_equal(hex, HEX_A);
    assert_string_equal(seal.writer, "cp");

    /* What makes a libvirt header is in the file, not in the arguments. */
    put(fd, "LibvirtQemudSave\0\0\0\0\0\0\0\0", 24, 0);
    uint32_t data_len = 5000;
    put(fd, &data_len, sizeof data_len, 20);
    assert_int_equal(ftruncate(fd, 9000), 0);
    char longest[SS_SEAL_WRITER_MAX + 1];
    memset(longest, 'w', sizeof longest);
    longest[SS_SEAL_WRITER_MAX] = '\0';
    assert_int_equal(ss_seal_make(fd, 9000, true, longest, NULL, &seal), 0);
    assert_int_equal(seal.format, SS_FORMAT_LIBVIRT);
    assert_int_equal(seal.header_len, 5092);
    assert_int_equal(strlen(seal.writer), SS_SEAL_WRITER_MAX - 1);
    assert_int_equal(ss_seal_make(-1, 9000, true, NULL, NULL, &seal), -EBADF);

    /* A description that is longer than any is sealed all the same, and its seal can be read. */
    data_len = 20U << 20;
    put(fd, &data_len, sizeof data_len, 20);
    assert_int_equal(ftruncate(fd, 21 << 20), 0);
    assert_int_equal(ss_seal_make(fd, 21 << 20, false, NULL, NULL, &seal), 0);
    assert_int_equal(seal.header_len, SS_FORMAT_HEADER_MAX);
    enum ss_finding finding = SS_IO_ERROR;
    assert_int_equal(ss_seal_check_header(fd, &seal, &finding), 0);
    assert_int_equal(finding, SS_INTACT);
    char line[SS_RECORD_MAX];
    ssize_t len = ss_seal_encode(&seal, line, sizeof line);
    assert_true(len > 0);
    assert_int_equal(ss_seal_decode(line, (size_t)len, &seal), 0);
}

/* What is read once gets the digests that it gets when it is read in parts. */
static void test_make_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 100000, SS_DIGEST_UNIT - 1, SS_DIGEST_UNIT};
    static unsigned char bytes[SS_DIGEST_UNIT];
    _Atomic bool stop = false;
    const struct ss_digest_run in_parts = {.stop = &stop};
    SS_AUTO_CLOSE int fd = temp_file();
    struct ss_seal once, parts;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i / 4096 % 3 == 1 ? 0 : (unsigned char)(i * i / 7 + i); /* each third block is all zero */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        put(fd, bytes, sizes[i], 0);
        assert_int_equal(ss_seal_make(fd, sizes[i], true, NULL, NULL, &once), 0);
        assert_int_equal(ss_seal_make(fd, sizes[i], true, NULL, &in_parts, &parts), 0);
        assert_true(ss_sha256_equal(&once.header, &parts.header));
        assert_true(ss_sha256_equal(&once.verity, &parts.verity));
        assert_int_equal(once.header_len, parts.header_len);
        assert_int_equal(ss_seal_make(fd, sizes[i] + 1, true, NULL, NULL, &once), -ENODATA);
    }
}

static enum ss_finding check(int fd, const struct ss_seal *seal, bool content)
{
    enum ss_finding finding = SS_FINDING_COUNT;

    if (content)
        assert_int_equal(ss_seal_check_content(fd, seal, NULL, &finding), 0);
    else
        assert_int_equal(ss_seal_check_header(fd, seal, &finding), 0);
    return finding;
}

static void test_check(void **state)
{
    (void)state;
    SS_AUTO_CLOSE int fd = temp_file();
    struct ss_seal seal;
    static const struct {
        off_t size;
        uint64_t changed; /* where a byte is changed, or past the end */
        enum ss_finding header, content;
    } cases[] = {
        {10000, 10000, SS_INTACT, SS_INTACT},
        {9999, 10000, SS_TRUNCATED, SS_TRUNCATED},
        {0, 10000, SS_TRUNCATED, SS_TRUNCATED},
        {10001, 10000, SS_GROWN, SS_GROWN},
        {9999, 0, SS_TRUNCATED, SS_TRUNCATED},
        {10000, 0, SS_HEADER_MISMATCH, SS_HEADER_MISMATCH},
        {10000, 4095, SS_HEADER_MISMATCH, SS_HEADER_MISMATCH},
        {10000, 4096, SS_INTACT, SS_CONTENT_MISMATCH},
        {10000, 9999, SS_INTACT, SS_CONTENT_MISMATCH},
    };

    put(fd, "content", 7, 5000);
    assert_int_equal(ftruncate(fd, 10000), 0);
    assert_int_equal(ss_seal_make(fd, 10000, true, "cp", NULL, &seal), 0);
    for (size_t i = 0; i < SS_ARRAY_SIZE(cases); i++) {
        assert_int_equal(ftruncate(fd, cases[i].size), 0);
        if (cases[i].changed < 10000)
            put(fd, "!", 1, cases[i].changed);
        assert_int_equal(ftruncate(fd, cases[i].size), 0);
        assert_int_equal(check(fd, &seal, false), cases[i].header);
        assert_int_equal(check(fd, &seal, true), cases[i].content);

        assert_int_equal(ftruncate(fd, 0), 0);
        put(fd, "content", 7, 5000);
        assert_int_equal(ftruncate(fd, 10000), 0);
    }

    /* Without a digest of the whole, the header is all that is known. */
    put(fd, "!", 1, 5000);
    assert_int_equal(check(fd, &seal, true), SS_CONTENT_MISMATCH);
    seal.has_verity = false;
    assert_int_equal(check(fd, &seal, true), SS_INTACT);

    enum ss_finding finding = SS_USAGE;
    assert_int_equal(ss_seal_check_header(-1, &seal, &finding), -EBADF);
    assert_int_equal(ss_seal_check_content(-1, &seal, NULL, &finding), -EBADF);
    assert_int_equal(finding, SS_USAGE);
}

/* What happens to the file while it is read. */
static int change_mode(int fd)
{
    return fchmod(fd, 0640);
}

static int change_content(int fd)
{
    return pwrite(fd, "!", 1, (off_t)(99 * MIB)) == 1 ? 0 : -1;
}

static int make_shorter(int fd)
{
    return ftruncate(fd, 10);
}

static int make_longer(int fd)
{
    return ftruncate(fd, (off_t)(100 * MIB + 1));
}

struct meanwhile {
    int fd;
    int (*change)(int fd);
};

static int cause_change(void *context, uint64_t done, uint64_t size)
{
    const struct meanwhile *meanwhile = context;

    (void)done, (void)size;
    return meanwhile->change(meanwhile->fd) < 0 ? -errno : 0;
}

static int cancel(void *context, uint64_t done, uint64_t size)
{
    (void)done, (void)size;
    return *(const int *)context;
}

static void test_changed_while_reading(void **state)
{
    (void)state;
    static int (*const changes[])(int fd) = {change_mode, change_content, make_shorter, make_longer};
    struct ss_seal seal;
    enum ss_finding finding;

    for (size_t i = 0; i < SS_ARRAY_SIZE(changes); i++) {
        SS_AUTO_CLOSE int fd = temp_file();
        struct meanwhile meanwhile = {fd, changes[i]};
        const struct ss_digest_run run = {.progress = cause_change, .context = &meanwhile};
        assert_int_equal(ftruncate(fd, (off_t)(100 * MIB)), 0);
        assert_int_equal(ss_seal_make(fd, 100 * MIB, true, "cp", NULL, &seal), 0);
        usleep(20000); /* file times move in steps of a clock tick, 10 ms at most */
        assert_int_equal(ss_seal_check_content(fd, &seal, &run, &finding), 0);
        assert_int_equal(finding, SS_CHANGED_WHILE_READING);
    }

    SS_AUTO_CLOSE int fd = temp_file();
    assert_int_equal(ftruncate(fd, (off_t)(100 * MIB)), 0);
    for (int result = -ECANCELED; result <= 1; result += ECANCELED + 1) {
        const struct ss_digest_run run = {.progress = cancel, .context = &result};
        finding = SS_USAGE;
        assert_int_equal(ss_seal_check_content(fd, &seal, &run, &finding), result);
        assert_int_equal(finding, SS_USAGE);
        assert_int_equal(ss_seal_make(fd, 100 * MIB, true, "cp", &run, &seal), result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec),          cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_bad_values),     cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_encode_refuses), cmocka_unit_test(test_xattr),
        cmocka_unit_test(test_make),           cmocka_unit_test(test_make_once),
        cmocka_unit_test(test_check),          cmocka_unit_test(test_changed_while_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
