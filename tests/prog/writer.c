/* writer FILE STEP...: does to FILE what programs do to a file that they save, one step after the other; see usage
 * below.
 *
 * A process has one descriptor at a time. Prints "STEP: ERRNO" for a step that fails and goes on; ends with status 0
 * after the last step, with the descriptor still open if no step closed it. A supervisor, which exits last, ends as the
 * writer ended (128 + N for a signal), after every process that came of it is gone. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK ((size_t)256 * 1024)
#define THREADS_MAX 8
#define PATIENCE 60 /* seconds after which a step that hangs ends its process */
#define HEADER_LEN 92

static const char usage[] =
    "usage: writer FILE STEP...\n"
    "create createrw excl open edit append read   open FILE\n"
    "trunc                                        open it with O_RDONLY | O_TRUNC\n"
    "close dup2 closerange                        ways to close it\n"
    "cloexec exec exec:PROG                       mark it; run PROG, else /bin/true\n"
    "write:N at:N text:S                          N bytes of pattern (K, M after N), seek, a string\n"
    "part:N save:N                                libvirt header, partial or complete, that announces N bytes\n"
    "truncate:N cut:N allocate:N                  ftruncate, truncate by name, fallocate\n"
    "copy:NAME sync size                          copy_file_range, fsync, print the size\n"
    "map:N touch:N unmap                          map N bytes shared, write a pattern there\n"
    "unlink rename:NAME exchange:NAME remove:PATH NAME is in the directory of FILE\n"
    "seed:N limit:N ignorexfsz                    another pattern, RLIMIT_FSIZE, no SIGXFSZ\n"
    "exit:N kill:N abort leave                    leave: this thread only\n"
    "fork [ STEP... ] thread [ STEP... ] join     join waits for all so far\n"
    "receiver [ STEP... ] send take               take gets the descriptor that send sends\n"
    "post:X await:X                               between processes; X is a letter\n"
    "orphaned nap:N hold:PATH                     wait: for the parent's end, N ms, while PATH exists\n";

static const char *path;
static int fd = -1;
static int channel[2] = {-1, -1}; /* to the receiver */
static unsigned seed;
static unsigned char *mapping;
static size_t mapped;
static pid_t parent;
static sem_t *letters; /* shared by all processes */
static pthread_t threads[THREADS_MAX];
static unsigned thread_count;

static void run(char **step, char **end);

/* ---- what a step needs ---- */

static off_t number(const char *arg)
{
    char *end;
    long long n = strtoll(arg, &end, 10);

    if (*end == 'K')
        n *= 1024;
    else if (*end == 'M')
        n *= 1024 * 1024;
    return (off_t)n;
}

/* Every byte tells its place and the seed. */
static void fill(unsigned char *buf, size_t len, off_t at)
{
    for (size_t i = 0; i < len; i++) {
        uint64_t place = (uint64_t)at + i;
        buf[i] = (unsigned char)(place ^ (place >> 8) * 5 ^ (place >> 16) * 11 ^ seed * 29);
    }
}

static int write_all(int to, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(to, at, len);
        if (n < 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A name in the directory of FILE. */
static char *sibling(const char *name, char *buf, size_t size)
{
    snprintf(buf, size, "%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
    return buf;
}

static int reopen(int flags)
{
    if (fd >= 0)
        close(fd);
    fd = open(path, flags, 0600);
    return fd < 0 ? -1 : 0;
}

static int drop_descriptor(int r)
{
    fd = -1;
    return r;
}

static int write_header(const char *magic, off_t data_len)
{
    unsigned char header[HEADER_LEN] = {0};
    uint32_t version = 2, len = (uint32_t)data_len;

    memcpy(header, magic, 16);
    memcpy(header + 16, &version, sizeof version);
    memcpy(header + 20, &len, sizeof len);
    return pwrite(fd, header, sizeof header, 0) == sizeof header ? 0 : -1;
}

/* ---- opening and closing ---- */

static const struct {
    const char *name;
    int flags;
} openings[] = {
    {"create", O_WRONLY | O_CREAT | O_TRUNC},
    {"createrw", O_RDWR | O_CREAT | O_TRUNC},
    {"excl", O_WRONLY | O_CREAT | O_EXCL},
    {"open", O_WRONLY},
    {"edit", O_RDWR},
    {"append", O_WRONLY | O_APPEND},
    {"read", O_RDONLY},
    {"trunc", O_RDONLY | O_TRUNC},
};

static int step_close(const char *arg)
{
    (void)arg;
    return drop_descriptor(close(fd));
}

static int step_dup2(const char *arg)
{
    (void)arg;
    return drop_descriptor(dup2(STDIN_FILENO, fd) < 0 ? -1 : 0);
}

static int step_closerange(const char *arg)
{
    (void)arg;
    return drop_descriptor((int)syscall(SYS_close_range, fd, fd, 0));
}

static int step_cloexec(const char *arg)
{
    (void)arg;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int step_exec(const char *arg)
{
    return execl(*arg ? arg : "/bin/true", "program", (char *)NULL);
}

/* ---- content ---- */

static int step_write(const char *arg)
{
    static unsigned char buf[CHUNK];
    off_t left = number(arg), at = lseek(fd, 0, SEEK_CUR);

    while (left > 0) {
        size_t n = left < (off_t)sizeof buf ? (size_t)left : sizeof buf;
        fill(buf, n, at);
        if (write_all(fd, buf, n) < 0)
            return -1;
        at += (off_t)n;
        left -= (off_t)n;
    }
    return 0;
}

static int step_at(const char *arg)
{
    return lseek(fd, number(arg), SEEK_SET) < 0 ? -1 : 0;
}

static int step_text(const char *arg)
{
    return write_all(fd, arg, strlen(arg));
}

static int step_part(const char *arg)
{
    return write_header("LibvirtQemudPart", number(arg));
}

static int step_save(const char *arg)
{
    return write_header("LibvirtQemudSave", number(arg));
}

static int step_truncate(const char *arg)
{
    return ftruncate(fd, number(arg));
}

static int step_cut(const char *arg)
{
    return truncate(path, number(arg));
}

static int step_allocate(const char *arg)
{
    return fallocate(fd, 0, 0, number(arg));
}

static int step_sync(const char *arg)
{
    (void)arg;
    return fsync(fd);
}

static int step_seed(const char *arg)
{
    seed = (unsigned)number(arg);
    return 0;
}

static int step_size(const char *arg)
{
    struct stat st;

    (void)arg;
    if (stat(path, &st) < 0)
        return -1;
    dprintf(STDOUT_FILENO, "size %lld\n", (long long)st.st_size);
    return 0;
}

static int step_copy(const char *arg)
{
    char name[4096];
    int from = open(sibling(arg, name, sizeof name), O_RDONLY | O_CLOEXEC);
    ssize_t n = from < 0 ? -1 : 1;

    while (n > 0)
        n = copy_file_range(from, NULL, fd, NULL, CHUNK, 0);
    int error = errno;
    if (from >= 0)
        close(from);
    errno = error;
    return n < 0 ? -1 : 0;
}

static int step_map(const char *arg)
{
    mapped = (size_t)number(arg);
    void *at = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mapping = at == MAP_FAILED ? NULL : at;
    return mapping ? 0 : -1;
}

static int step_touch(const char *arg)
{
    fill(mapping, (size_t)number(arg), 0);
    return 0;
}

static int step_unmap(const char *arg)
{
    (void)arg;
    return munmap(mapping, mapped);
}

/* ---- names ---- */

static int step_unlink(const char *arg)
{
    (void)arg;
    return unlink(path);
}

static int step_remove(const char *arg)
{
    return unlink(arg);
}

static int step_rename(const char *arg)
{
    static char name[4096];

    if (rename(path, sibling(arg, name, sizeof name)) < 0)
        return -1;
    path = name;
    return 0;
}

static int step_exchange(const char *arg)
{
    char name[4096];
    return renameat2(AT_FDCWD, path, AT_FDCWD, sibling(arg, name, sizeof name), RENAME_EXCHANGE);
}

/* ---- the end ---- */

static int step_exit(const char *arg)
{
    _exit((int)number(arg));
}

static int step_kill(const char *arg)
{
    int number_of = (int)number(arg);

    if (number_of != SIGKILL)
        signal(number_of, SIG_DFL); /* a sanitizer may have put its own handler there */
    kill(getpid(), number_of);
    pause();
    return 0;
}

static int step_abort(const char *arg)
{
    (void)arg;
    signal(SIGABRT, SIG_DFL);
    abort();
}

static int step_leave(const char *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static int step_limit(const char *arg)
{
    struct rlimit limit = {.rlim_cur = (rlim_t)number(arg), .rlim_max = RLIM_INFINITY};
    return setrlimit(RLIMIT_FSIZE, &limit);
}

static int step_ignorexfsz(const char *arg)
{
    (void)arg;
    return signal(SIGXFSZ, SIG_IGN) == SIG_ERR ? -1 : 0;
}

/* ---- several processes ---- */

static int step_join(const char *arg)
{
    (void)arg;
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    thread_count = 0;
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

static int step_send(const char *arg)
{
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);

    (void)arg;
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    return sendmsg(channel[0], &message, 0) < 0 ? -1 : 0;
}

static int step_take(const char *arg)
{
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};

    (void)arg;
    if (recvmsg(channel[1], &message, 0) <= 0 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return 0;
}

static int step_post(const char *arg)
{
    return sem_post(&letters[*arg - 'a']);
}

static int step_await(const char *arg)
{
    return sem_wait(&letters[*arg - 'a']);
}

static int step_nap(const char *arg)
{
    return usleep((useconds_t)number(arg) * 1000);
}

static int step_hold(const char *arg)
{
    while (access(arg, F_OK) == 0)
        usleep(1000);
    return 0;
}

static int step_orphaned(const char *arg)
{
    (void)arg;
    while (getppid() == parent)
        usleep(1000);
    return 0;
}

static const struct {
    const char *name;
    int (*step)(const char *arg); /* -1 with errno */
} steps[] = {
    {"close", step_close},
    {"dup2", step_dup2},
    {"closerange", step_closerange},
    {"cloexec", step_cloexec},
    {"exec", step_exec},
    {"write", step_write},
    {"at", step_at},
    {"text", step_text},
    {"part", step_part},
    {"save", step_save},
    {"truncate", step_truncate},
    {"cut", step_cut},
    {"allocate", step_allocate},
    {"copy", step_copy},
    {"sync", step_sync},
    {"seed", step_seed},
    {"size", step_size},
    {"map", step_map},
    {"touch", step_touch},
    {"unmap", step_unmap},
    {"unlink", step_unlink},
    {"remove", step_remove},
    {"rename", step_rename},
    {"exchange", step_exchange},
    {"exit", step_exit},
    {"kill", step_kill},
    {"abort", step_abort},
    {"leave", step_leave},
    {"limit", step_limit},
    {"ignorexfsz", step_ignorexfsz},
    {"join", step_join},
    {"send", step_send},
    {"take", step_take},
    {"post", step_post},
    {"await", step_await},
    {"orphaned", step_orphaned},
    {"nap", step_nap},
    {"hold", step_hold},
};

static int perform(const char *name, const char *arg)
{
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++)
        if (strcmp(openings[i].name, name) == 0)
            return reopen(openings[i].flags);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (strcmp(steps[i].name, name) == 0)
            return steps[i].step(arg);
    dprintf(STDOUT_FILENO, "%s: no such step\n", name);
    _exit(2);
}

static void take_step(const char *text)
{
    char name[16];
    size_t len = strcspn(text, ":");

    snprintf(name, sizeof name, "%.*s", (int)len, text);
    if (perform(name, text[len] ? text + len + 1 : "") < 0)
        dprintf(STDOUT_FILENO, "%s: %s\n", name, strerrorname_np(errno));
}

/* ---- blocks ---- */

struct block {
    char **begin, **end;
};

static pid_t fork_block(struct block block)
{
    pid_t self = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    parent = self;
    alarm(PATIENCE);
    run(block.begin, block.end);
    _exit(0);
}

static void *run_thread(void *context)
{
    struct block block = *(struct block *)context;

    free(context);
    run(block.begin, block.end);
    return NULL;
}

static void start_thread(struct block block)
{
    struct block *own = malloc(sizeof *own);

    *own = block;
    if (thread_count == THREADS_MAX || pthread_create(&threads[thread_count++], NULL, run_thread, own) != 0)
        _exit(2);
}

static char **closing_bracket(char **step, char **end)
{
    int depth = 1;

    while (step < end && depth > 0) {
        depth += strcmp(*step, "[") == 0;
        depth -= strcmp(*step, "]") == 0;
        step++;
    }
    return step - 1;
}

static void start_block(const char *kind, struct block block)
{
    if (strcmp(kind, "thread") == 0) {
        start_thread(block);
    } else {
        if (strcmp(kind, "receiver") == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
            _exit(2);
        fork_block(block);
    }
}

static void run(char **step, char **end)
{
    while (step < end) {
        if (step + 1 < end && strcmp(step[1], "[") == 0) {
            char **last = closing_bracket(step + 2, end);
            start_block(*step, (struct block){step + 2, last});
            step = last + 1;
        } else {
            take_step(*step++);
        }
    }
}

int main(int argc, char **argv)
{
    int status = 0, ended;
    pid_t pid;

    if (argc < 3) {
        fputs(usage, stderr);
        return 2;
    }
    path = argv[1];
    letters = mmap(NULL, 26 * sizeof *letters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (letters == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return 2;
    for (int i = 0; i < 26; i++)
        sem_init(&letters[i], 1, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    pid_t writer = fork_block((struct block){argv + 2, argv + argc});
    while ((pid = waitpid(-1, &ended, 0)) > 0)
        if (pid == writer)
            status = WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
    return status;
}
