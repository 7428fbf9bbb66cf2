/* race: saves a name over and over while others look at it, and counts what they should not have seen.
 *
 *   race create NAME ROUNDS      each round saves NAME in pieces, then unlinks it
 *   race overwrite NAME ROUNDS   each round replaces NAME
 *   race outsider NAME ROUNDS    in step with an outsider that tries everything on the half-written name
 *   race siblings NAME ROUNDS    two threads of one process save NAME at the same time
 *   race stress NAME SECONDS     many processes save, edit, rename, unlink and die on NAME.0 to NAME.7
 *   race check NAME ROUND        exits 0 if NAME is the whole image of that round (0: of any)
 *
 * Every image is full of its round's number, so any mix shows. Those who look on are in race_look.c. Prints the counts
 * and exits 1 if one that must be 0 is not. */
#include "race_look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READERS 3
#define PIECES 5
#define CROWD 32 /* processes */
#define NAMES 8
#define PATIENCE 300 /* seconds */

static const char *base_name;
static uint64_t buffer[WORDS_MAX];

/* ---- the writer ---- */

static pid_t start(void)
{
    pid_t pid = fork();
    if (pid < 0)
        _exit(2);
    if (pid == 0)
        alarm(PATIENCE);
    return pid;
}

static bool refused(const char *what)
{
    return complain(&shared->refused, "writer: %s: %s\n", what, strerror(errno));
}

/* The writer sees its own draft under its name, as far as it is written. */
static void look_at_own(uint32_t round, size_t words)
{
    uint64_t word;
    struct stat st;
    if (stat(name, &st) < 0 || (size_t)st.st_size != words * sizeof word)
        refused("stat of the own draft");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, &word, sizeof word, (off_t)((words - 1) * sizeof word)) != sizeof word ||
        word != word_of(round, words - 1))
        refused("read of the own draft");
    close(fd);
}

/* Writes a whole image in pieces to fd and closes it. Half-way it may ask the looker-on, or die. */
static bool write_image(int fd, uint32_t round, enum asking half_way)
{
    size_t words = words_of(round), done = 0;

    for (size_t i = 0; i < words; i++)
        buffer[i] = word_of(round, i);
    for (int piece = 1; piece <= PIECES; piece++) {
        size_t end = words * (size_t)piece / PIECES, n = (end - done) * sizeof buffer[0];
        if (write(fd, buffer + done, n) != (ssize_t)n)
            refused("write");
        done = end;
        look_at_own(round, done);
        if (piece == PIECES / 2 && half_way == DIE)
            kill(getpid(), SIGKILL);
        if (piece == PIECES / 2 && half_way != NOTHING)
            ask(half_way, round);
    }
    return close(fd) == 0 || errno == EEXIST || refused("close"); /* a slower exclusive creation */
}

static bool save(uint32_t round, enum asking half_way)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? refused("open") : write_image(fd, round, half_way);
}

/* In a process of its own: what others save is not its, and its end does not spoil what they closed just before. */
static void save_apart(uint32_t round, enum asking half_way)
{
    pid_t pid = start();
    if (pid == 0)
        save(round, half_way), _exit(0);
    waitpid(pid, NULL, 0);
}

static void run_writer(unsigned rounds, bool keeps)
{
    for (uint32_t round = 1; round <= rounds; round++) {
        if (save(round, NOTHING))
            ask(CLOSED, round);
        if (!keeps && unlink(name) < 0)
            refused("unlink");
    }
}

static void run_writer_before_outsider(unsigned rounds)
{
    for (uint32_t round = 1; round <= rounds; round += 2) {
        save(round, HALF_NEW);
        ask(CLOSED, round);
        ask(HOLD, round);
        save(round + 1, HALF_OLD);
        ask(CLOSED, round + 1);
        ask(REPLACED, round + 1);
        if (unlink(name) < 0)
            refused("unlink");
    }
}

/* ---- two threads that save the same name ---- */

/* They share a draft when they are at it together, so the content is no matter here: only errors are. */
static void *run_sibling(void *context)
{
    for (unsigned i = 0; i < *(unsigned *)context; i++) {
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, &i, sizeof i) != sizeof i || close(fd) < 0)
            refused("one of two threads");
    }
    return NULL;
}

static void run_siblings(unsigned rounds)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_sibling, &rounds) != 0)
        _exit(2);
    run_sibling(&rounds);
    pthread_join(thread, NULL);
}

/* ---- many processes on a few names ---- */

static unsigned random_below(unsigned n)
{
    static unsigned state;

    if (!state)
        state = (unsigned)getpid();
    state = state * 1103515245U + 12345U;
    return (state >> 16) % n;
}

static void pick_name(char *path)
{
    snprintf(path, PATH_MAX, "%s.%u", base_name, random_below(NAMES));
}

/* An edit, or an exclusive creation. */
static void stress_open(uint32_t round, int flags)
{
    int fd = open(name, flags | O_CLOEXEC, 0600);

    if (fd < 0 && errno == (flags & O_EXCL ? EEXIST : ENOENT))
        return;
    if (fd < 0 || ftruncate(fd, 0) < 0)
        refused("open or truncation of an image");
    else
        write_image(fd, round, NOTHING);
    if (flags & O_EXCL)
        _exit(0); /* if it came too late, this process would go on seeing its own draft under the name */
}

static void stress_once(void)
{
    char path[PATH_MAX], other[PATH_MAX];
    uint32_t round = 1 + random_below(30000), seen;

    pick_name(path);
    pick_name(other);
    name = path;
    unsigned kind = random_below(12);
    if (kind < 4)
        atomic_fetch_add(&shared->saves, save(round, NOTHING));
    else if (kind == 4) /* it may spoil a draft of this process, which would go on seeing that: so that ends, too */
        atomic_fetch_add(&shared->deaths, 1), save_apart(round, DIE), _exit(0);
    else if (kind == 5)
        stress_open(round, O_RDWR);
    else if (kind == 6)
        stress_open(round, O_WRONLY | O_CREAT | O_EXCL);
    else if (kind == 7 && rename(path, other) < 0 && errno != ENOENT)
        refused("rename");
    else if (kind == 8 && unlink(path) < 0 && errno != ENOENT)
        refused("unlink");
    else if (kind > 8)
        atomic_fetch_add(&shared->reads, 1), look(&seen);
}

static void run_stress(unsigned seconds)
{
    unsigned running = 0;
    int status;

    shared->stop = seconds == 0;
    for (time_t end = time(NULL) + seconds; running > 0 || !shared->stop;) {
        shared->stop = time(NULL) >= end;
        if (!shared->stop && running < CROWD) {
            running++;
            if (start() == 0) {
                while (!shared->stop)
                    stress_once();
                _exit(0);
            }
        } else if (waitpid(-1, &status, 0) > 0) {
            running--;
        }
    }
}

/* ---- putting it together ---- */

static void await(pid_t pid, const char *who)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        complain(&shared->refused, "%s ended with %#x\n", who, status);
}

static void run_mode(const char *mode, unsigned rounds)
{
    if (strcmp(mode, "stress") == 0)
        run_stress(rounds);
    else if (strcmp(mode, "siblings") == 0)
        run_siblings(rounds);
    else if (strcmp(mode, "outsider") == 0)
        run_writer_before_outsider(rounds);
    else
        run_writer(rounds, strcmp(mode, "overwrite") == 0);
}

static int run(const char *mode, unsigned rounds)
{
    bool overwrites = strcmp(mode, "overwrite") == 0;
    unsigned readers = overwrites || strcmp(mode, "create") == 0 ? READERS : 0;
    pid_t reader[READERS];

    if (overwrites)
        save_apart(0, NOTHING);
    for (unsigned i = 0; i < readers; i++)
        if ((reader[i] = start()) == 0)
            run_reader(overwrites, 200 + i * 800), _exit(0);
    pid_t looker_on = start();
    if (looker_on == 0)
        run_looker_on(), _exit(0);
    pid_t writer = start();
    if (writer == 0)
        run_mode(mode, rounds), _exit(0);

    await(writer, "the writer");
    shared->stop = true;
    put_asking(END);
    for (unsigned i = 0; i < readers; i++)
        await(reader[i], "a reader");
    await(looker_on, "the looker-on");
    printf("%s: %u rounds, %u reads (%u of no file), %u mixed, %u missed after close, %u seen by an outsider, "
           "%u writer errors\n",
           mode, rounds, shared->reads, shared->absent, shared->mixed, shared->missed, shared->seen, shared->refused);
    if (strcmp(mode, "stress") == 0)
        printf("saves %u deaths %u\n", shared->saves, shared->deaths);
    return shared->mixed || shared->missed || shared->seen || shared->refused;
}

static int check(uint32_t want)
{
    uint32_t round = 0;
    return look(&round) == WHOLE && (want == 0 || round == want) ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 4 || !strchr(argv[2], '/')) {
        fputs("usage: race create|overwrite|outsider|siblings|stress|check DIR/NAME ROUNDS\n", stderr);
        return 2;
    }
    name = base_name = argv[2];
    unsigned number = (unsigned)strtoul(argv[3], NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    return strcmp(argv[1], "check") == 0 ? check(number) : run(argv[1], number);
}
