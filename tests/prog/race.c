/* race: saves a name over and over while others look at it, and counts what they should not have seen.
 *
 *   race WHAT NAME NUMBER [COMMAND...]
 *
 *   race create NAME ROUNDS      each round saves NAME in pieces, then unlinks it
 *   race overwrite NAME ROUNDS   each round replaces NAME
 *   race outsider NAME ROUNDS    in step with an outsider that tries everything on the half-written name
 *   race siblings NAME ROUNDS    two threads of one process save NAME at the same time
 *   race fleeting NAME ROUNDS    one saves NAME, one who looks on unlinks it, one begins to change it and dies
 *   race stress NAME SECONDS     many processes save, edit, rename, unlink and die on NAME.0 to NAME.7
 *   race check NAME ROUND        exits 0 if NAME is the whole image of that round (0: of any)
 *
 * Every image is full of its round's number, so any mix shows. Those who look on are in race_look.c. Prints the counts
 * and exits 1 if one that must be 0 is not. With a COMMAND (saveseal run ... --) that starts the writer, and nobody who
 * looks. */
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
#define SHARED_FD "RACE_SHARED_FD"

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

static void await(pid_t pid, const char *who)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        complain(&shared->refused, "%s ended with %#x\n", who, status);
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

/* They share a draft when they are at it together, so what is in it is no matter here; errors are, and how much it is.
 */
static void *run_sibling(void *context)
{
    for (unsigned i = 0; i < *(unsigned *)context; i++) {
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, &i, sizeof i) != sizeof i || close(fd) < 0)
            refused("one of two threads");
    }
    return NULL;
}

static void run_size_reader(void)
{
    struct stat st;

    for (; !shared->stop; usleep(100)) {
        atomic_fetch_add(&shared->reads, 1);
        if (stat(name, &st) < 0)
            atomic_fetch_add(&shared->absent, 1);
        else if (st.st_size != sizeof(unsigned))
            complain(&shared->mixed, "size %lld\n", (long long)st.st_size);
    }
}

static void run_siblings(unsigned rounds)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_sibling, &rounds) != 0)
        _exit(2);
    run_sibling(&rounds);
    pthread_join(thread, NULL);
}

/* ---- a name that comes and goes ---- */

/* Whatever moment the name appears in, what is changed is a draft: nobody sees it. */
static void begin_change(void)
{
    static const uint64_t odd = UINT64_MAX;
    int fd = -1;

    while (fd < 0 && !shared->stop) {
        fd = open(name, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            refused("open for a change");
    }
    if (fd >= 0 && pwrite(fd, &odd, sizeof odd, 0) != sizeof odd)
        refused("change");
    if (fd >= 0)
        atomic_fetch_add(&shared->deaths, 1), kill(getpid(), SIGKILL);
}

static void run_changers(void)
{
    while (!shared->stop) {
        pid_t pid = start();
        if (pid == 0)
            begin_change(), _exit(0);
        waitpid(pid, NULL, 0);
        usleep(10000); /* each leaves a draft */
    }
}

static void run_remover(void)
{
    for (; !shared->stop; usleep((useconds_t)rand() % 100))
        if (unlink(name) < 0 && errno != ENOENT)
            complain(&shared->seen, "unlink: %s\n", strerror(errno));
}

/* Who changes it is no descendant of who saves it: he would see the draft. */
static void run_fleeting(unsigned rounds)
{
    pid_t changer = start();
    if (changer == 0)
        run_changers(), _exit(0);
    pid_t saver = start();
    for (uint32_t round = 1; saver == 0 && round <= rounds; round++)
        save(round, NOTHING);
    if (saver == 0)
        _exit(0);
    await(saver, "who saves");
    shared->stop = true;
    await(changer, "who changes");
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

/* One who has never saved anything. */
static void run_crowd_reader(void)
{
    char path[PATH_MAX];
    uint32_t round;

    for (name = path; !shared->stop; usleep(500)) {
        pick_name(path);
        atomic_fetch_add(&shared->absent, look(&round) == ABSENT);
        atomic_fetch_add(&shared->reads, 1);
    }
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

static void run_mode(const char *mode, unsigned rounds)
{
    if (strcmp(mode, "stress") == 0)
        run_stress(rounds);
    else if (strcmp(mode, "fleeting") == 0)
        run_fleeting(rounds);
    else if (strcmp(mode, "siblings") == 0)
        run_siblings(rounds);
    else if (strcmp(mode, "outsider") == 0)
        run_writer_before_outsider(rounds);
    else
        run_writer(rounds, strcmp(mode, "overwrite") == 0);
}

/* The writer is this program once more, started by the command; what is shared comes as a descriptor. */
static void run_under(char **command, char **argv)
{
    char *words[64];
    unsigned count = 0;

    for (; *command && count < 50; command++)
        words[count++] = *command;
    for (unsigned i = 0; i < 4; i++)
        words[count++] = argv[i];
    words[count] = NULL;
    execvp(words[0], words);
    perror(words[0]);
    _exit(127);
}

static void run_onlooker(const char *mode, unsigned number)
{
    bool overwrites = strcmp(mode, "overwrite") == 0;

    if (strcmp(mode, "stress") == 0)
        run_crowd_reader();
    else if (strcmp(mode, "siblings") == 0)
        run_size_reader();
    else if (strcmp(mode, "fleeting") == 0 && number == 0)
        run_remover();
    else
        run_reader(overwrites, 200 + number * 800);
}

static int run(char **argv, unsigned rounds)
{
    const char *mode = argv[1];
    unsigned readers = strcmp(mode, "outsider") == 0 ? 0 : READERS;
    pid_t reader[READERS];

    drafts_show = argv[4] != NULL;
    if (strcmp(mode, "overwrite") == 0)
        save_apart(0, NOTHING);
    for (unsigned i = 0; i < readers; i++)
        if ((reader[i] = start()) == 0)
            run_onlooker(mode, i), _exit(0);
    pid_t looker_on = start();
    if (looker_on == 0)
        run_looker_on(), _exit(0);
    pid_t writer = start();
    if (writer == 0 && argv[4])
        run_under(argv + 4, argv);
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
    if (shared->deaths)
        printf("saves %u deaths %u\n", shared->saves, shared->deaths);
    return shared->mixed || shared->missed || shared->seen || shared->refused;
}

static int check(uint32_t want)
{
    uint32_t round = 0;
    return look(&round) == WHOLE && (want == 0 || round == want) ? 0 : 1;
}

/* Makes what is shared, or finds that of the process that started the command. Returns whether it was found. */
static bool share(void)
{
    const char *number = getenv(SHARED_FD);
    char text[16];

    int fd = number ? atoi(number) : memfd_create("race", 0);
    if (fd < 0 || ftruncate(fd, sizeof *shared) < 0)
        exit(2);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        exit(2);
    snprintf(text, sizeof text, "%d", fd);
    setenv(SHARED_FD, text, 1);
    return number != NULL;
}

int main(int argc, char **argv)
{
    if (argc < 4 || !strchr(argv[2], '/')) {
        fputs("usage: race create|overwrite|outsider|siblings|fleeting|stress|check DIR/NAME ROUNDS [COMMAND...]\n",
              stderr);
        return 2;
    }
    name = base_name = argv[2];
    unsigned number = (unsigned)strtoul(argv[3], NULL, 10);
    bool found = share();
    if (strcmp(argv[1], "check") == 0)
        return check(number);
    if (found)
        return run_mode(argv[1], number), 0;
    return run(argv, number);
}
