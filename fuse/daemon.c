#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The child's end of the pipe closes without a byte when it fails. */
static void wait_for_child(int fd)
{
    char byte;
    ssize_t n;

    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    _exit(n == 1 ? 0 : 1);
}

int ss_daemon_start(struct ss_daemon *daemon)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        fprintf(stderr, "savesealfs: pipe: %s\n", strerror(errno));
        return -errno;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "savesealfs: fork: %s\n", strerror(errno));
        return -errno;
    }
    if (pid > 0) {
        close(ends[1]);
        wait_for_child(ends[0]);
    }
    close(ends[0]);
    setsid();
    if (chdir("/") < 0) {
        fprintf(stderr, "savesealfs: /: %s\n", strerror(errno));
        return -errno;
    }
    daemon->pipe = ends[1];
    return 0;
}

void ss_daemon_ready(struct ss_daemon *daemon)
{
    if (daemon->pipe < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        if (null > 2)
            close(null);
    }
    ssize_t n = write(daemon->pipe, "", 1);
    (void)n;
}

void ss_daemon_close(struct ss_daemon *daemon)
{
    if (daemon->pipe >= 0)
        close(daemon->pipe);
    daemon->pipe = -1;
}
