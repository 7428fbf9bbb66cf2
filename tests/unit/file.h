/* Files for tests. Include it after cmocka.h. */
#ifndef SAVESEAL_TESTS_UNIT_FILE_H
#define SAVESEAL_TESTS_UNIT_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/util.h"

/* An empty file without a name. */
static inline int temp_file(void)
{
    const char *dir = getenv("TMPDIR");
    char path[512];

    snprintf(path, sizeof path, "%s/saveseal-unit-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    return fd;
}

static inline void put(int fd, const void *bytes, size_t len, uint64_t at)
{
    size_t done;

    assert_int_equal(ss_pwrite_full(fd, bytes, len, (off_t)at, &done), 0);
}

#endif
