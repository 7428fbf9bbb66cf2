/* savers WHAT FILE: programs that save in ways that are hard for whoever stands between them and the kernel. Each ends
 * with 0 within seconds, or never. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 300

static const char *path;
static char block[4096];

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    _exit(1);
}

static void save(const char *name, int flags)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | flags, 0600);

    must(fd >= 0, "open");
    must(write(fd, block, sizeof block) == sizeof block, "write");
    must(close(fd) == 0, "close");
}

static void *save_often(void *context)
{
    (void)context;
    for (int i = 0; i < ROUNDS; i++)
        save(path, O_CLOEXEC);
    return NULL;
}

static void *fork_often(void *context)
{
    int status;

    (void)context;
    for (int i = 0; i < ROUNDS / 5; i++) {
        pid_t pid = fork();
        must(pid >= 0, "fork");
        if (pid == 0) {
            save(path, O_CLOEXEC);
            _exit(0);
        }
        must(waitpid(pid, &status, 0) == pid && status == 0, "a child that saves");
    }
    return NULL;
}

static void in_threads(void *(*first)(void *), void *(*second)(void *))
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        must(pthread_create(&threads[i], NULL, i < 2 ? first : second, NULL) == 0, "pthread_create");
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void *read_for_ever(void *context)
{
    char line[80];

    (void)context;
    (void)!fgets(line, sizeof line, stdin);
    return NULL;
}

/* Another thread has a stream locked when the process ends. */
static void end_while_reading(void)
{
    pthread_t thread;
    const struct timespec pause = {.tv_nsec = 100000000};

    FILE *file = fopen(path, "w");
    must(file && fputs("buffered", file) >= 0, "fopen");
    must(pthread_create(&thread, NULL, read_for_ever, NULL) == 0, "pthread_create");
    nanosleep(&pause, NULL);
}

/* The program's own locks on its own file. */
static void lock_itself(void)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fcntl(fd, F_SETLK, &all) == 0, "fcntl");
    int reader = open(path, O_RDONLY);
    must(reader >= 0 && flock(reader, LOCK_SH) == 0, "flock");
    must(write(fd, block, sizeof block) == sizeof block && close(fd) == 0, "close");
}

static void fork_in_handler(int signal)
{
    (void)signal;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

static void with_a_forking_handler(void)
{
    const struct itimerval often = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000}, never = {0};

    signal(SIGALRM, fork_in_handler);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 200 * ROUNDS; i++)
        close(dup(fd));
    setitimer(ITIMER_REAL, &never, NULL);
    must(write(fd, block, sizeof block) == sizeof block && close(fd) == 0, "close");
}

/* A write fails while a child between fork and exec has a copy: close() has to say so all the same. */
static void fail_beside_an_heir(void)
{
    const struct rlimit limit = {.rlim_cur = 1024, .rlim_max = RLIM_INFINITY};
    const struct timespec pause = {.tv_nsec = 10000000};

    signal(SIGXFSZ, SIG_IGN);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    must(write(fd, block, sizeof block) == 1024, "write");
    pid_t pid = fork();
    if (pid == 0) {
        nanosleep(&pause, NULL);
        execl("/bin/true", "true", NULL);
    }
    must(close(fd) < 0, "close() must fail");
    waitpid(pid, NULL, 0);
}

/* A child publishes, and is killed after that. */
static void kill_after_publishing(void)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = fork();

    if (pid == 0) {
        must(getppid() > 0 && write(fd, block, sizeof block) == sizeof block, "write");
        usleep(200000);
        must(close(fd) == 0, "close");
        kill(getpid(), SIGKILL);
    }
    close(fd);
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    path = argc > 2 ? argv[2] : "";
    memset(block, 'x', sizeof block);
    if (strcmp(what, "threads") == 0)
        in_threads(save_often, save_often);
    else if (strcmp(what, "forks") == 0)
        in_threads(save_often, fork_often);
    else if (strcmp(what, "reading") == 0)
        end_while_reading();
    else if (strcmp(what, "locks") == 0)
        lock_itself();
    else if (strcmp(what, "handler") == 0)
        with_a_forking_handler();
    else if (strcmp(what, "heir") == 0)
        fail_beside_an_heir();
    else if (strcmp(what, "killed") == 0)
        kill_after_publishing();
    else
        return 2;
    return 0;
}
