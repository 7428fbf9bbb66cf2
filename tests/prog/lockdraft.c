/* lockdraft FILE: holds the lock of a draft, as its writer does, until its standard input ends. Prints "locked" when it
 * has it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/draft.h"
#include "core/util.h"

int main(int argc, char **argv)
{
    char byte;

    if (argc != 2) {
        fprintf(stderr, "usage: lockdraft FILE\n");
        return 2;
    }
    SS_AUTO_CLOSE int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    int r = fd < 0 ? -errno : ss_draft_lock(fd);
    if (r < 0) {
        fprintf(stderr, "lockdraft: %s: %s\n", argv[1], strerror(-r));
        return 1;
    }
    puts("locked");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
