/* mkseal [--header] FILE...: seals files as they are; with --header without the digest of the whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/seal.h"
#include "core/util.h"

static int seal_file(const char *path, bool full)
{
    struct ss_seal seal;
    struct stat st;

    SS_AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    int r = ss_seal_make(fd, (uint64_t)st.st_size, full, "mkseal", NULL, &seal);
    return r < 0 ? r : ss_seal_write(fd, &seal);
}

int main(int argc, char **argv)
{
    bool full = argc < 2 || strcmp(argv[1], "--header") != 0;
    int status = 0;

    for (int i = full ? 1 : 2; i < argc; i++) {
        int r = seal_file(argv[i], full);
        if (r < 0) {
            fprintf(stderr, "mkseal: %s: %s\n", argv[i], strerror(-r));
            status = 1;
        }
    }
    return status;
}
