/* A directory with sealed files, for tests that know nothing of core: seals are written as they stand on disk. Include
 * it after cmocka.h. */
#ifndef SAVESEAL_TESTS_UNIT_SAVED_H
#define SAVESEAL_TESTS_UNIT_SAVED_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What make_image() and make_long() write; the digests are from sha256sum and fsverity. */
#define IMAGE_SIZE 12345
#define IMAGE_VERITY "ea027b052aa607a7e361af11e7ddfc3324ec6daeb3e8bd0ecb29d23fed748b1e"
#define LONG_SIZE (UINT64_C(1) << 30)
#define LONG_STEP (UINT64_C(64) << 20)
#define LONG_VERITY "5ef301c9ec65e4160051e08b8bd52966eb405d9930a69075b46893605e6683d7"

static char saved_dir[PATH_MAX - NAME_MAX - 2];

/* The path of a file in the directory; in one of four buffers that are used in turn. */
static inline const char *saved(const char *name)
{
    static _Thread_local char paths[4][PATH_MAX];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", saved_dir, name);
    return path;
}

static inline int make_saved_dir(void **state)
{
    const char *dir = getenv("TMPDIR");

    (void)state;
    snprintf(saved_dir, sizeof saved_dir, "%s/saveseal-unit-XXXXXX", dir ? dir : "/tmp");
    return mkdtemp(saved_dir) ? 0 : -1;
}

static inline int empty_saved_dir(void **state)
{
    DIR *dir = opendir(saved_dir);

    (void)state;
    if (!dir)
        return -1;
    for (struct dirent *at; (at = readdir(dir));)
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            unlink(saved(at->d_name));
    return closedir(dir);
}

static inline int remove_saved_dir(void **state)
{
    return empty_saved_dir(state) < 0 ? -1 : rmdir(saved_dir);
}

static inline void make_file(const char *name, const void *bytes, size_t len)
{
    int fd = open(saved(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(close(fd), 0);
}

static inline void set_attribute(const char *name, const char *attribute, const char *line)
{
    assert_int_equal(setxattr(saved(name), attribute, line, strlen(line), 0), 0);
}

/* A byte in a file, changed. */
static inline void spoil(const char *name, off_t at)
{
    int fd = open(saved(name), O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "?", 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* Bytes of no format, sealed in 2024. */
static inline void make_image(const char *name)
{
    unsigned char bytes[IMAGE_SIZE];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 31 + 7);
    make_file(name, bytes, sizeof bytes);
    set_attribute(name, "user.saveseal.seal",
                  "saveseal/1 format=unknown header=4096 "
                  "header-sha256=d41d438c379110c7f7b2c561b1f04f26c1b4549110791f8e022f48974280c13e size=12345 "
                  "verity-sha256=" IMAGE_VERITY " sealed=2024-02-29T23:59:59Z writer=libvirtd%20(2)");
}

/* A GiB that is a hole but for one byte in each 64 MiB, sealed. */
static inline void make_long(const char *name)
{
    make_file(name, "", 0);
    int fd = open(saved(name), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (uint64_t at = LONG_STEP; at <= LONG_SIZE; at += LONG_STEP)
        assert_int_equal(pwrite(fd, "x", 1, (off_t)at - 1), 1);
    assert_int_equal(close(fd), 0);
    set_attribute(name, "user.saveseal.seal",
                  "saveseal/1 format=unknown header=4096 "
                  "header-sha256=ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7 size=1073741824 "
                  "verity-sha256=" LONG_VERITY " sealed=2024-02-29T23:59:59Z writer=x");
}

#define DRAFT ".saveseal.0123456789abcdef"

/* A draft of the image "vm" that was interrupted. */
static inline void make_draft(void)
{
    make_file(DRAFT, "half", 4);
    set_attribute(DRAFT, "user.saveseal.draft",
                  "saveseal/1 target=vm state=interrupted reason=writer-killed detail=killed%20by%20signal%209 "
                  "pid=0 start=0 opened=2024-02-29T23:59:59Z");
}

/* A draft that is being written, until the descriptor is closed: its lock stands on one byte far behind the data. */
static inline int make_live_draft(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = INT64_MAX - 1, .l_len = 1};

    make_draft();
    set_attribute(DRAFT, "user.saveseal.draft",
                  "saveseal/1 target=vm state=writing pid=0 start=0 opened=2024-02-29T23:59:59Z");
    int fd = open(saved(DRAFT), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    return fd;
}

/* A save image of libvirt, version 2, in this machine's byte order: its header, a description with elements within
 * elements, and a stream of QEMU that ends early. compressed: by gzip, from what gzip(1) made of the same. */
static inline void make_save(const char *name, int compressed)
{
    static const char stream[] = "QEVM\0\0\0\3";
    static const unsigned char gzip[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x0b,
                                         0x74, 0x0d, 0xf3, 0x65, 0x60, 0x60, 0x60, 0x66, 0xa0, 0x10, 0x00,
                                         0x00, 0x69, 0x50, 0xd9, 0xd6, 0x48, 0x00, 0x00, 0x00};
    enum { HEADER = 92, DEEP = 200 };
    unsigned char image[16384] = "LibvirtQemudSave";
    char *xml = (char *)image + HEADER;
    size_t len = (size_t)sprintf(xml, "<domain type='kvm'><name>vm1</name><metadata>");

    for (int i = 0; i < DEEP; i++)
        len += (size_t)sprintf(xml + len, "<e a='%d'>", i);
    for (int i = 0; i < DEEP; i++)
        len += (size_t)sprintf(xml + len, "</e>");
    len += (size_t)sprintf(xml + len, "</metadata></domain>") + 1;
    const uint32_t fields[] = {2, (uint32_t)len, 1, compressed ? 1 : 0};
    memcpy(image + 16, fields, sizeof fields);
    memcpy(image + HEADER + len, compressed ? gzip : (const unsigned char *)stream,
           compressed ? sizeof gzip : sizeof stream);
    make_file(name, image, HEADER + len + (compressed ? sizeof gzip : sizeof stream));
}

static inline void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* An empty qcow2 disk of 1 MiB without bitmaps: header, reference counts (table and block), L1 table, of 64 KiB each.
 */
static inline void make_qcow2(const char *name)
{
    enum { CLUSTER = 65536 };
    unsigned char *image = calloc(4, CLUSTER);

    assert_non_null(image);
    memcpy(image, "QFI\xfb", 4);
    put32(image + 4, 3);         /* version */
    put32(image + 20, 16);       /* cluster bits */
    put32(image + 28, 1U << 20); /* size */
    put32(image + 36, 1);        /* L1 entries, and where */
    put32(image + 44, 3 * CLUSTER);
    put32(image + 52, CLUSTER); /* reference count table, and its clusters */
    put32(image + 56, 1);
    put32(image + 96, 4);    /* reference counts of 16 bits */
    put32(image + 100, 104); /* header length */
    put32(image + CLUSTER + 4, 2 * CLUSTER);
    for (int i = 0; i < 4; i++)
        image[2 * CLUSTER + 2 * i + 1] = 1;
    make_file(name, image, (size_t)4 * CLUSTER);
    free(image);
}

#endif
