/* killer KEEPER COUNT MIN MAX SIGNAL FILE: sends SIGNAL to COUNT workers of the process KEEPER, MIN to MAX milliseconds
 * apart, each to another one than the time before; SIGSTOP is followed by SIGCONT after as long again; with SIGHUP it
 * is the keeper that gets it, as for an upgrade. Signal 0: only looks on. COUNT 0: until KEEPER has ended, without any
 * pause.
 *
 * Meanwhile FILE is looked at all the time: opened, read and closed. How long the longest such look took between two
 * signals is the pause that a caller sees. Prints one line, and on standard error each look that failed or found
 * something else; ends with 1 if there were such, or a worker did not come. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTENT_MAX ((size_t)1 << 16)
#define PATIENCE 60000 /* ms to wait for a worker */
#define COMPLAINTS_MAX 10

static const char *path;
static char content[CONTENT_MAX];
static size_t content_len;
static _Atomic uint64_t longest; /* ns, since the last signal */
static _Atomic unsigned looks, failures;
static _Atomic bool over;

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void nap(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- looking ---- */

/* Returns what was wrong, NULL nothing. */
static const char *look(char *buf, size_t *len)
{
    struct stat st;
    const char *wrong = NULL;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return "open";
    ssize_t n = read(fd, buf, CONTENT_MAX);
    if (n < 0 || fstat(fd, &st) < 0)
        wrong = "read";
    if (close(fd) < 0)
        wrong = "close";
    *len = n < 0 ? 0 : (size_t)n;
    return wrong;
}

static void complain(const char *what, const char *why)
{
    if (atomic_fetch_add(&failures, 1) < COMPLAINTS_MAX)
        fprintf(stderr, "%s: %s: %s\n", path, what, why);
}

static void *look_on(void *unused)
{
    static char buf[CONTENT_MAX];
    size_t len;

    while (!atomic_load(&over)) {
        uint64_t begin = now();
        const char *wrong = look(buf, &len);
        uint64_t took = now() - begin;
        if (took > atomic_load(&longest))
            atomic_store(&longest, took);
        if (wrong)
            complain(wrong, strerror(errno));
        else if (len != content_len || memcmp(buf, content, len) != 0)
            complain("read", "something else than before");
        atomic_fetch_add(&looks, 1);
        usleep(300);
    }
    return unused;
}

/* ---- killing ---- */

static pid_t worker_of(pid_t keeper)
{
    char name[64], text[32];

    snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return atoi(text);
}

/* Another one than the last. 0: none came. */
static pid_t next_worker(pid_t keeper, pid_t last)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        pid_t pid = worker_of(keeper);
        if (pid > 0 && pid != last)
            return pid;
        nap(1);
    }
    return 0;
}

static bool hit(pid_t keeper, pid_t *last, int number, unsigned wait)
{
    if (number == 0)
        return true;
    if (number == SIGHUP)
        return kill(keeper, SIGHUP) == 0;
    pid_t pid = next_worker(keeper, number == SIGSTOP ? 0 : *last);
    if (pid == 0)
        return false;
    kill(pid, number);
    if (number == SIGSTOP) {
        nap(wait);
        kill(pid, SIGCONT);
    }
    *last = pid;
    return true;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

static void report(unsigned hits, uint64_t *pauses, unsigned count)
{
    qsort(pauses, count, sizeof *pauses, compare);
    printf("hits %u, looks %u, failed %u, pause median %.1f ms, longest %.1f ms\n", hits, atomic_load(&looks),
           atomic_load(&failures), count ? (double)pauses[count / 2] / 1e6 : 0.0,
           count ? (double)pauses[count - 1] / 1e6 : 0.0);
}

/* Kills each worker as soon as it is there. */
static unsigned kill_all(pid_t keeper, int number)
{
    pid_t last = 0;
    unsigned hits = 0;

    while (kill(keeper, 0) == 0) {
        pid_t pid = worker_of(keeper);
        if (pid > 0 && pid != last && kill(pid, number) == 0) {
            last = pid;
            hits++;
        }
    }
    return hits;
}

int main(int argc, char **argv)
{
    pthread_t looker;

    if (argc != 7) {
        fputs("usage: killer KEEPER COUNT MIN MAX SIGNAL FILE\n", stderr);
        return 2;
    }
    pid_t keeper = atoi(argv[1]), last = 0;
    unsigned count = (unsigned)atoi(argv[2]), min = (unsigned)atoi(argv[3]), max = (unsigned)atoi(argv[4]), hits = 0;
    int number = atoi(argv[5]);
    bool came = true;
    path = argv[6];
    if (count == 0) {
        printf("hits %u\n", kill_all(keeper, number));
        return 0;
    }
    uint64_t *pauses = calloc(count, sizeof *pauses);
    const char *wrong = look(content, &content_len);
    if (wrong || !pauses || pthread_create(&looker, NULL, look_on, NULL) != 0) {
        fprintf(stderr, "%s: %s: %s\n", path, wrong ? wrong : "start", strerror(errno));
        return 1;
    }
    srand((unsigned)getpid());
    nap(min);
    while (hits < count && came) {
        unsigned wait = min + (unsigned)rand() % (max - min + 1);
        atomic_store(&longest, 0);
        came = hit(keeper, &last, number, wait);
        nap(wait);
        pauses[hits] = atomic_load(&longest);
        hits += came;
    }
    atomic_store(&over, true);
    pthread_join(looker, NULL);
    report(hits, pauses, hits);
    free(pauses);
    return !came || atomic_load(&failures) > 0;
}
