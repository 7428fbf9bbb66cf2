/* corners WHAT PATH...: programs that the preload library meets seldom.
 *
 *   fdopen FILE          opens, writes through a stream of its own making, and returns from main without closing it
 *   streams DIR COUNT    the same with COUNT files at a time
 *   locked FILE          another thread has the stream, and more to write, when the process ends
 *   closed-under FILE    closes the descriptor below a stream, then the stream, and returns from main
 *   daemon FILE          opens, becomes a daemon, writes and closes; what close() said is in FILE.said
 *   unnamed DIR          asks for a file without a name; prints what open() said */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "corners: %s: %s\n", what, strerror(errno));
    exit(1);
}

static FILE *stream_on(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

    if (!stream || fprintf(stream, "all of it\n") < 0)
        fail(path);
    return stream;
}

static void many(const char *dir, int count)
{
    const struct rlimit limit = {(rlim_t)count * 8, (rlim_t)count * 8};
    char path[4096];

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit");
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/stream.%d", dir, i);
        stream_on(path);
    }
}

static void *hold(void *stream)
{
    flockfile(stream);
    pause();
    return NULL;
}

static void locked(const char *path)
{
    FILE *stream = stream_on(path);
    pthread_t thread;

    if (pthread_create(&thread, NULL, hold, stream) != 0)
        fail("a thread");
    while (ftrylockfile(stream) == 0) {
        funlockfile(stream);
        usleep(1000);
    }
}

static void closed_under(const char *path)
{
    FILE *stream = stream_on(path);

    fflush(stream);
    if (close(fileno(stream)) < 0)
        fail("close");
    fclose(stream); /* says that the descriptor is bad */
}

static void become_daemon(const char *path)
{
    char said[4096];

    snprintf(said, sizeof said, "%s.said", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || daemon(1, 0) < 0)
        fail(path);
    int r = write(fd, "all of it\n", 10) == 10 && close(fd) == 0 ? 0 : errno;
    FILE *file = fopen(said, "w");
    if (!file || fprintf(file, "%s\n", r ? strerror(r) : "closed") < 0 || fclose(file) != 0)
        fail(said);
}

static void unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_WRONLY, 0600);

    puts(fd < 0 ? strerrorname_np(errno) : "opened");
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    if (strcmp(what, "fdopen") == 0)
        stream_on(argv[2]);
    else if (strcmp(what, "streams") == 0 && argc == 4)
        many(argv[2], atoi(argv[3]));
    else if (strcmp(what, "locked") == 0)
        locked(argv[2]);
    else if (strcmp(what, "closed-under") == 0)
        closed_under(argv[2]);
    else if (strcmp(what, "daemon") == 0)
        become_daemon(argv[2]);
    else if (strcmp(what, "unnamed") == 0)
        unnamed(argv[2]);
    else
        return 2;
    return 0;
}
