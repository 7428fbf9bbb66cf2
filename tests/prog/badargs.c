/* badargs DIR: calls what the preload library hooks with arguments that are bad, or at the edge, in the directory DIR,
 * and says what each call gave: without the library, and with it, that is the same. Each call that dies is told, and
 * the next goes on. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#pragma GCC diagnostic ignored "-Wnonnull" /* that is what this is about */
#pragma GCC diagnostic ignored "-Wunused-result"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#endif

#define BAD ((void *)1)
#define BEYOND ((void *)(-4096L)) /* no process has memory there */

static struct stat st;
static struct statx stx;
static char buf[PATH_MAX];
static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
static const struct timeval some[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
static char *const none[] = {NULL};
static const struct open_how to_write = {.flags = O_WRONLY | O_CREAT, .mode = 0600};

/* What opened something says 0. */
static int opened(int fd)
{
    if (fd < 0)
        return -1;
    int saved = errno;
    close(fd);
    errno = saved;
    return 0;
}

static int streamed(FILE *stream)
{
    return stream ? fclose(stream) : -1;
}

static int listed(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, NULL);

    for (int i = 0; i < n; i++)
        free(entries[i]);
    if (n >= 0)
        free(entries);
    return n < 0 ? -1 : 0;
}

/* Each with a path p. */
#define PATH_CALLS(X)                                                                                                  \
    X(open(p, O_RDONLY))                                                                                               \
    X(openat(AT_FDCWD, p, O_RDONLY | O_CLOEXEC))                                                                       \
    X(access(p, F_OK))                                                                                                 \
    X(eaccess(p, R_OK))                                                                                                \
    X(stat(p, &st))                                                                                                    \
    X(lstat(p, &st))                                                                                                   \
    X(fstatat(AT_FDCWD, p, &st, 0))                                                                                    \
    X(fstatat(1000, p, &st, 0))                                                                                        \
    X(fstatat(0, p, &st, AT_EMPTY_PATH))                                                                               \
    X(statx(AT_FDCWD, p, 0, STATX_SIZE, &stx))                                                                         \
    X(faccessat(AT_FDCWD, p, F_OK, AT_EACCESS))                                                                        \
    X(open(p, O_WRONLY))                                                                                               \
    X(open(p, O_RDWR | O_NOFOLLOW))                                                                                    \
    X(openat(1000, p, O_WRONLY | O_CREAT, 0600))                                                                       \
    X(openat(0, p, O_WRONLY))                                                                                          \
    X(open(p, O_PATH))                                                                                                 \
    X(open(p, O_WRONLY | O_DIRECTORY))                                                                                 \
    X(fopen_(p, "r"))                                                                                                  \
    X(fopen_(p, "r+"))                                                                                                 \
    X(fopen_(p, "?"))                                                                                                  \
    X(truncate(p, 0))                                                                                                  \
    X(truncate(p, -1))                                                                                                 \
    X(chmod(p, 0600))                                                                                                  \
    X(fchmodat(AT_FDCWD, p, 0600, 0))                                                                                  \
    X(chown(p, (uid_t)-1, (gid_t)-1))                                                                                  \
    X(lchown(p, (uid_t)-1, (gid_t)-1))                                                                                 \
    X(fchownat(AT_FDCWD, p, (uid_t)-1, (gid_t)-1, 1 << 30))                                                            \
    X(utimensat(AT_FDCWD, p, now, 0))                                                                                  \
    X(utimensat(AT_FDCWD, p, BAD, 0))                                                                                  \
    X(utimes(p, some))                                                                                                 \
    X(lutimes(p, NULL))                                                                                                \
    X(futimesat(AT_FDCWD, p, NULL))                                                                                    \
    X(utime(p, NULL))                                                                                                  \
    X(setxattr(p, "user.a", "b", 1, 0))                                                                                \
    X(getxattr(p, "user.a", buf, 1))                                                                                   \
    X(getxattr(p, BAD, buf, 1))                                                                                        \
    X(setxattr(p, NULL, "b", 1, 0))                                                                                    \
    X(removexattr(p, "user.a"))                                                                                        \
    X(listxattr(p, buf, sizeof buf))                                                                                   \
    X(readlink(p, buf, sizeof buf))                                                                                    \
    X(readlinkat(1000, p, buf, sizeof buf))                                                                            \
    X(scandir_(p))                                                                                                     \
    X(link(p, "no/where"))                                                                                             \
    X(link("nothing", p))                                                                                              \
    X(linkat(AT_FDCWD, p, AT_FDCWD, p, 1 << 30))                                                                       \
    X(rename(p, "no/where"))                                                                                           \
    X(rename("nothing", p))                                                                                            \
    X(renameat2(AT_FDCWD, p, AT_FDCWD, p, 1U << 30))                                                                   \
    X(unlinkat(1000, p, 0))                                                                                            \
    X(unlinkat(AT_FDCWD, p, 1 << 30))                                                                                  \
    X(unlinkat(AT_FDCWD, p, AT_REMOVEDIR))                                                                             \
    X(execve(p, none, none))                                                                                           \
    X(execveat(AT_FDCWD, p, none, none, 0))                                                                            \
    X(syscall(SYS_openat, AT_FDCWD, p, O_WRONLY, 0))                                                                   \
    X(syscall(SYS_openat2, AT_FDCWD, p, &to_write, sizeof to_write))                                                   \
    X(syscall(SYS_openat2, AT_FDCWD, p, BAD, sizeof to_write))                                                         \
    X(syscall(SYS_openat2, AT_FDCWD, p, &to_write, 1UL << 40))                                                         \
    X(creat(p, 0600))                                                                                                  \
    X(open(p, O_RDWR | O_CREAT | O_EXCL, 0600))                                                                        \
    X(open(p, O_RDONLY | O_CREAT | O_TRUNC, 0600))                                                                     \
    X(fopen_(p, "w"))                                                                                                  \
    X(unlink(p))                                                                                                       \
    X(remove(p))

/* Each with whatever else is bad. */
#define OTHER_CALLS(X)                                                                                                 \
    X(close(-1))                                                                                                       \
    X(close(INT_MAX))                                                                                                  \
    X(close_range(7, 5, 0))                                                                                            \
    X(close_range(1000, 2000, ~0))                                                                                     \
    X(dup(-1))                                                                                                         \
    X(dup2(-1, 5))                                                                                                     \
    X(dup2(0, -1))                                                                                                     \
    X(dup2(0, INT_MAX))                                                                                                \
    X(dup3(0, 0, 0))                                                                                                   \
    X(dup3(0, 5, ~O_CLOEXEC))                                                                                          \
    X(fcntl(0, F_DUPFD, -1))                                                                                           \
    X(fcntl(0, F_GETLK, BAD))                                                                                          \
    X(fcntl(0, 12345, BAD))                                                                                            \
    X(stat(".", BAD))                                                                                                  \
    X(stat("own", BAD))                                                                                                \
    X(readlink("/proc/self/exe", BAD, 10))                                                                             \
    X(readlink("/proc/self/exe", buf, 0))                                                                              \
    X(munmap(BAD, 1))                                                                                                  \
    X(munmap(NULL, 0))                                                                                                 \
    X(wait4(-1, NULL, ~0, NULL))                                                                                       \
    X(waitpid(INT_MIN, NULL, 0))                                                                                       \
    X(waitid(P_ALL, 0, NULL, 0))                                                                                       \
    X(reaped(BAD))                                                                                                     \
    X(reaped(NULL))                                                                                                    \
    X(inspected(BAD))                                                                                                  \
    X(inspected(NULL))                                                                                                 \
    X(sendmsg(0, BAD, 0))                                                                                              \
    X(sent(0, BAD, 64))                                                                                                \
    X(sent(0, buf, 1UL << 40))                                                                                         \
    X(sent(0, BEYOND, 8))                                                                                              \
    X(sendmmsg(0, BAD, 1, 0))                                                                                          \
    X(recvmsg(0, BAD, 0))                                                                                              \
    X(recvmmsg(0, BAD, 1, 0, NULL))                                                                                    \
    X(setxattr("own", "user.a", BAD, 8, 0))                                                                            \
    X(fsetxattr(0, BAD, "a", 1, 0))                                                                                    \
    X(fsetxattr(0, NULL, "a", 1, 0))                                                                                   \
    X(fremovexattr(0, BAD))                                                                                            \
    X(flistxattr(-1, buf, 1))                                                                                          \
    X(listxattr("own", BAD, 100))                                                                                      \
    X(realpath(NULL, buf) ? 0 : -1)                                                                                    \
    X(realpath("", buf) ? 0 : -1)                                                                                      \
    X(freopen(BAD, "w", stdin) ? 0 : -1)                                                                               \
    X(execve("/nothing", BAD, BAD))                                                                                    \
    X(posix_spawn(NULL, "/nothing", NULL, NULL, none, none))                                                           \
    X(syscall(1 << 20))                                                                                                \
    X(syscall(SYS_close, -1))                                                                                          \
    X(syscall(SYS_pidfd_getfd, -1, 0, 0))

static int fopen_(const char *path, const char *mode)
{
    return streamed(fopen(path, mode));
}

static int scandir_(const char *path)
{
    return listed(path);
}

static pid_t ended_child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    return pid;
}

static int reaped(int *status)
{
    return waitpid(ended_child(), status, 0) < 0 ? -1 : 0;
}

static int inspected(siginfo_t *info)
{
    return waitid(P_PID, (id_t)ended_child(), info, WEXITED);
}

static int sent(int fd, void *control, size_t len)
{
    const struct msghdr message = {.msg_control = control, .msg_controllen = len};
    return (int)sendmsg(fd, &message, 0);
}

#define PATH_CASE(call)                                                                                                \
    case __COUNTER__ - PATH_BASE:                                                                                      \
        *text = #call;                                                                                                 \
        return (int)(call);
#define OTHER_CASE(call)                                                                                               \
    case __COUNTER__ - OTHER_BASE:                                                                                     \
        *text = #call;                                                                                                 \
        return (int)(call);

enum { PATH_BASE = __COUNTER__ + 1 };
static int call_with_path(int number, const char *p, const char **text)
{
    switch (number) {
        PATH_CALLS(PATH_CASE)
    default:
        return INT_MIN; /* that was all */
    }
}

enum { OTHER_BASE = __COUNTER__ + 1 };
static int call_other(int number, const char *p, const char **text)
{
    (void)p;
    switch (number) {
        OTHER_CALLS(OTHER_CASE)
    default:
        return INT_MIN;
    }
}

typedef int call(int number, const char *p, const char **text);

/* In a child: all calls from *number on, which says in shared memory how far it came. */
static void run(call *calls, const char *what, const char *path, volatile int *number)
{
    for (;; (*number)++) {
        const char *text = "";
        errno = 0;
        int r = calls(*number, path, &text);
        int error = errno;
        if (r == INT_MIN)
            _exit(0);
        if (r > 0) /* a descriptor, or a length */
            r = strncmp(text, "open", 4) == 0 || strncmp(text, "creat", 5) == 0 || strncmp(text, "syscall", 7) == 0
                    ? opened(r)
                    : 1;
        printf("%s: %s = %d %s\n", what, text, r, error ? strerrorname_np(error) : "");
        fflush(stdout);
    }
}

static void try_all(call *calls, const char *what, const char *path, volatile int *number)
{
    int status = -1;

    *number = 0;
    while (status != 0) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            run(calls, what, path, number);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            exit(2);
        if (status != 0)
            printf("%s: call %d died of %d\n", what, (*number)++, WTERMSIG(status));
    }
}

static char *pages(size_t count)
{
    char *memory = mmap(NULL, (count + 1) * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + count * 4096, 4096, PROT_NONE) < 0)
        exit(2);
    return memory;
}

static char *at_end(const char *path, bool terminated)
{
    char *memory = pages(1);
    size_t len = strlen(path) + terminated;
    return memcpy(memory + 4096 - len, path, len);
}

static char *absolute(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getcwd(buf, sizeof buf), name);
    return path;
}

/* DIR and as many bytes as it takes, in parts of that length. */
static char *of_length(size_t len, size_t part)
{
    char *path = pages(3);
    size_t begun = strlen(strcpy(path, absolute("")));

    for (size_t i = begun; i < len; i++)
        path[i] = (i - begun) % (part + 1) == part ? '/' : 'x';
    path[len] = '\0';
    return path;
}

int main(int argc, char **argv)
{
    int *number = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (argc != 2 || number == MAP_FAILED || chdir(argv[1]) < 0)
        return 2;
    const struct {
        const char *what, *path;
    } paths[] = {
        {"NULL", NULL},
        {"1", BAD},
        {"beyond", BEYOND},
        {"no access", pages(0)},
        {"not terminated", at_end(absolute("long"), false)},
        {"relative, not terminated", at_end("long", false)},
        {"at the end of a page", at_end(strdup(absolute("end")), true)},
        {"empty", ""},
        {"4095 bytes", of_length(4095, 200)},
        {"4096 bytes", of_length(4096, 200)},
        {"10000 bytes", of_length(10000, 200)},
        {"a long name", of_length(1000, 256)},
        {"the longest name", of_length(strlen(absolute("")) + 255, 255)},
        {"nowhere", "no/where"},
        {"a directory", "dir"},
        {"a directory with a slash", "dir/"},
        {"the directory itself", "."},
        {"its parent", "dir/.."},
        {"a file as a directory", "file/x"},
        {"a file with a slash", "file/"},
        {"a loop", "loop"},
        {"a link to nothing", "dangling"},
        {"a pipe's end", "/proc/self/fd/1000"},
    };
    /* Some calls make what the next path is about: each run begins with the same. */
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mkdir("dir", 0700);
        close(open("file", O_WRONLY | O_CREAT, 0600));
        symlink("loop", "loop");
        symlink("no/where", "dangling");
        try_all(call_with_path, paths[i].what, paths[i].path, number);
    }
    int own = open("own", O_WRONLY | O_CREAT, 0600);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mkdir("dir", 0700);
        snprintf(buf, sizeof buf, "with a draft, %s", paths[i].what);
        try_all(call_with_path, strdup(buf), paths[i].path, number);
    }
    try_all(call_other, "other", NULL, number);
    write(own, "x", 1);
    return close(own) == 0 ? 0 : 1;
}
