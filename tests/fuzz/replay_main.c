/* Runs a fuzz target over every file of the directories that are given: the corpus as an ordinary test. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int dir, const char *name)
{
    struct stat st;

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    /* A buffer of exactly that size, so that a sanitizer sees a read past its end. */
    SS_AUTO_FREE uint8_t *data = malloc((size_t)st.st_size);
    if (!data && st.st_size > 0)
        return -ENOMEM;
    ssize_t n = ss_pread_full(fd, data, (size_t)st.st_size, 0);
    if (n < 0)
        return (int)n;
    printf("%s: %zd bytes\n", name, n);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, (size_t)n);
    return 0;
}

/* Returns the number of files or -errno. */
static int replay_dir(const char *path)
{
    int count = 0;
    int err = 0;

    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    for (struct dirent *entry; err == 0 && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        err = replay_file(dirfd(dir), entry->d_name);
        count++;
    }
    closedir(dir);
    return err < 0 ? err : count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay_dir(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i], count < 0 ? strerror(-count) : "no files");
            return 1;
        }
    }
    return argc > 1 ? 0 : 2;
}
