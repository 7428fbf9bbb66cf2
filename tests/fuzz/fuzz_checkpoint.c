/* Any bytes as the definition of a checkpoint; what follows a NUL, as the domain's. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/checkpoint.h"

#define PATH_SIZE 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const uint8_t *data, size_t size, char path[PATH_SIZE])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
    size_t len = cut ? (size_t)(cut - data) : size;
    char path[PATH_SIZE], other[PATH_SIZE];
    struct checkpoint checkpoint;
    struct ss_judgement why;
    const char *culprit;

    int fd = file_of(data, len, path);
    int domain = cut ? file_of(cut + 1, size - len - 1, other) : -1;
    if (checkpoint_read(path, cut ? other : NULL, &checkpoint, &culprit, &why)) {
        if (checkpoint.known == 0 || checkpoint.known > checkpoint.count)
            abort();
        for (size_t i = 0; i < checkpoint.count; i++)
            if (!checkpoint.disks[i].name[0] || !checkpoint.disks[i].bitmap[0])
                abort();
    }
    checkpoint_free(&checkpoint);
    close(fd);
    if (domain >= 0)
        close(domain);
    return 0;
}
