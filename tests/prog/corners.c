/* corners WHAT PATH...: programs that the preload library meets seldom.
 *
 *   fdopen FILE          opens, writes through a stream of its own making, and returns from main without closing it
 *   streams DIR COUNT    the same with COUNT files at a time
 *   locked FILE          another thread has the stream, and more to write, when the process ends
 *   closed-under FILE    closes the descriptor below a stream, then the stream, and returns from main
 *   daemon FILE          opens, becomes a daemon, writes and closes; what close() said is in FILE.said
 *   closefrom FILE       closes it with all others
 *   fexecve FILE         calls another program with it open, by a descriptor
 *   sendmmsg FILE        hands it to a child in the second of two messages, which writes and closes it
 *   unnamed DIR          asks for a file without a name; prints what open() said */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

static int made(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0)
        fail(path);
    return fd;
}

static void put(int fd)
{
    if (write(fd, "all of it\n", 10) != 10)
        fail("write");
}

static void become_daemon(const char *path)
{
    char said[4096];

    snprintf(said, sizeof said, "%s.said", path);
    int fd = made(path);
    if (daemon(1, 0) < 0)
        fail(path);
    int r = write(fd, "all of it\n", 10) == 10 && close(fd) == 0 ? 0 : errno;
    FILE *file = fopen(said, "w");
    if (!file || fprintf(file, "%s\n", r ? strerror(r) : "closed") < 0 || fclose(file) != 0)
        fail(said);
}

static void call_by_descriptor(const char *path)
{
    static char name[] = "true", *const arguments[] = {name, NULL};

    put(made(path));
    int program = open("/bin/true", O_RDONLY | O_CLOEXEC);
    fexecve(program, arguments, environ);
    fail("fexecve");
}

union rights {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

/* Two messages of a byte, the second one with a descriptor. */
static void messages(struct mmsghdr two[2], struct iovec *byte, union rights *rights)
{
    memset(two, 0, 2 * sizeof *two);
    for (int i = 0; i < 2; i++) {
        two[i].msg_hdr.msg_iov = byte;
        two[i].msg_hdr.msg_iovlen = 1;
    }
    two[1].msg_hdr.msg_control = rights;
    two[1].msg_hdr.msg_controllen = sizeof *rights;
}

static void receive_and_write(int socket)
{
    char letter;
    struct iovec byte = {&letter, 1};
    union rights rights;
    struct mmsghdr two[2];
    int fd;

    messages(two, &byte, &rights);
    if (recvmmsg(socket, two, 2, 0, NULL) != 2)
        fail("recvmmsg");
    memcpy(&fd, CMSG_DATA(&rights.head), sizeof fd);
    put(fd);
    exit(close(fd) == 0 ? 0 : 1);
}

static void hand_over(const char *path)
{
    char letter = 'x';
    struct iovec byte = {&letter, 1};
    union rights rights = {
        .head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct mmsghdr two[2];
    int ends[2], status;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        fail("socketpair");
    pid_t pid = fork();
    if (pid == 0)
        receive_and_write(ends[1]);
    int fd = made(path);
    memcpy(CMSG_DATA(&rights.head), &fd, sizeof fd);
    messages(two, &byte, &rights);
    if (sendmmsg(ends[0], two, 2, 0) != 2 || close(fd) < 0)
        fail("sendmmsg");
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        fail("the child");
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
    else if (strcmp(what, "closefrom") == 0)
        put(made(argv[2])), closefrom(3);
    else if (strcmp(what, "fexecve") == 0)
        call_by_descriptor(argv[2]);
    else if (strcmp(what, "sendmmsg") == 0)
        hand_over(argv[2]);
    else if (strcmp(what, "unnamed") == 0)
        unnamed(argv[2]);
    else
        return 2;
    return 0;
}
