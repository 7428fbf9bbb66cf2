/* Any bytes as a CRIU directory. They are its files one after the other, each a byte that tells its name, two with its
 * length, and its content. The directory is in memory, if the host has a place for that. */
#include <fcntl.h>
#include <stdio.h>

#include "inside.h"

static const char *const names[] = {
    "inventory.img",       "pstree.img",      "core-10.img",     "core-11.img",     "core-12.img",
    "ids-10.img",          "ids-12.img",      "mm-10.img",       "fs-10.img",       "pagemap-10.img",
    "pages-1.img",         "fdinfo-1.img",    "pipes-data.img",  "sk-queues.img",   "tcp-stream-1.img",
    "ipcns-shm-1.img",     "ipcns-sem-1.img", "ipcns-msg-1.img", "bpfmap-data.img", "ghost-file-1.img",
    "pagemap-shmem-2.img", "route-1.img",
};

static void clear(int dir)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(names); i++)
        unlinkat(dir, names[i], 0);
}

static void make_files(int dir, const uint8_t *data, size_t size)
{
    size_t done;

    while (size >= 3) {
        const char *name = names[data[0] % SS_ARRAY_SIZE(names)];
        size_t len = data[1] | (size_t)data[2] << 8;
        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        SS_AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        require(fd >= 0 && ss_pwrite_full(fd, data, len, 0, &done) == 0);
        data += len;
        size -= len;
    }
}

static void check_directory(int dir, bool deep)
{
    const struct ss_inside_options options = {.deep = deep};
    struct ss_inside inside;

    require_answer(ss_inside_check_directory(dir, &options, &inside), &inside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char memory[] = "/dev/shm/saveseal-fuzz.XXXXXX", disk[] = "/tmp/saveseal-fuzz.XXXXXX";

    const char *path = mkdtemp(memory);
    if (!path)
        path = mkdtemp(disk);
    require(path != NULL);
    SS_AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(dir >= 0);
    make_files(dir, data, size);
    if (ss_inside_is_directory_image(dir)) {
        check_directory(dir, false);
        check_directory(dir, true);
    }
    clear(dir);
    rmdir(path);
    return 0;
}
