/* Those who look on while race.c saves. They are no descendants of the writer: they do not belong to its family. */
#include "race_look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define COMPLAINTS_MAX 20

struct shared *shared;
const char *name;
bool drafts_show;

/* Words of pattern in the image of a round. */
size_t words_of(uint32_t round)
{
    return WORDS_MIN + round * 4099U % (WORDS_MAX - WORDS_MIN);
}

uint64_t word_of(uint32_t round, size_t i)
{
    return (uint64_t)round << 32 | (uint32_t)i;
}

int complain(_Atomic unsigned *count, const char *format, ...)
{
    va_list list;

    if (atomic_fetch_add(count, 1) < COMPLAINTS_MAX) {
        va_start(list, format);
        vdprintf(STDERR_FILENO, format, list);
        va_end(list);
    }
    return 0;
}

/* ---- looking ---- */

/* Reads an open image; *round is what its first word says. */
static enum sight look_into(int fd, uint32_t *round)
{
    uint64_t content[WORDS_MAX + 1];
    struct stat before, after;

    if (fstat(fd, &before) < 0)
        return complain(&shared->mixed, "fstat: %s\n", strerror(errno));
    ssize_t n = pread(fd, content, sizeof content, 0);
    if (n < 0 || fstat(fd, &after) < 0)
        return complain(&shared->mixed, "read: %s\n", strerror(errno));
    if (n != before.st_size || before.st_size != after.st_size)
        return complain(&shared->mixed, "size %lld, read %zd, size %lld\n", (long long)before.st_size, n,
                        (long long)after.st_size);
    *round = n > 0 ? (uint32_t)(content[0] >> 32) : 0;
    if ((size_t)n != words_of(*round) * sizeof content[0])
        return complain(&shared->mixed, "round %u has %zd bytes\n", *round, n);
    for (size_t i = 0; i < words_of(*round); i++)
        if (content[i] != word_of(*round, i))
            return complain(&shared->mixed, "round %u: word %zu is of round %u\n", *round, i,
                            (uint32_t)(content[i] >> 32));
    return WHOLE;
}

enum sight look(uint32_t *round)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return ABSENT;
    if (fd < 0)
        return complain(&shared->mixed, "open: %s\n", strerror(errno));
    enum sight sight = look_into(fd, round);
    close(fd);
    return sight;
}

/* They rest a little to leave room for the writer. */
void run_reader(bool never_absent, useconds_t rest)
{
    uint32_t round = 0, last = 0;

    while (!shared->stop) {
        enum sight sight = look(&round);
        atomic_fetch_add(&shared->reads, 1);
        if (sight == ABSENT) {
            atomic_fetch_add(&shared->absent, 1);
            if (never_absent)
                complain(&shared->mixed, "the name was gone\n");
        } else if (sight == WHOLE && round < last) {
            complain(&shared->mixed, "round %u came after round %u\n", round, last);
        }
        last = round;
        usleep(rest);
    }
}

static bool look_finds(uint32_t want)
{
    uint32_t round = 0;
    enum sight sight = look(&round);

    if (sight == WHOLE && round == want)
        return true;
    return complain(&shared->missed, "after close of round %u: %s, round %u\n", want,
                    sight == ABSENT ? "nothing" : "image", round);
}

/* A program of its own that looks. */
static void exec_check(uint32_t want)
{
    char number[16];
    int status;

    snprintf(number, sizeof number, "%u", want);
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/proc/self/exe", "race", "check", name, number, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        complain(&shared->missed, "after close of round %u: the checker ended with %#x\n", want, status);
}

/* ---- the outsider: a name that is half-written ---- */

static bool fails_with(const char *what, int r, int want)
{
    int error = r < 0 ? errno : 0;

    if (error == want)
        return true;
    return complain(&shared->seen, "%s on a half-written name: %s\n", what, r < 0 ? strerror(error) : "worked");
}

static void path_beside(const char *suffix, char *path)
{
    snprintf(path, PATH_MAX, "%s%s", name, suffix);
}

/* How often the directory lists the name; drafts must not be there at all, where there is a mount. */
static unsigned listed(void)
{
    char dir_name[PATH_MAX];
    const char *base = strrchr(name, '/') + 1;
    unsigned count = 0;

    snprintf(dir_name, sizeof dir_name, "%.*s", (int)(base - name), name);
    DIR *dir = opendir(dir_name);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        count += strcmp(entry->d_name, base) == 0;
        if (!drafts_show && strncmp(entry->d_name, ".saveseal.", 10) == 0)
            complain(&shared->seen, "readdir shows %s\n", entry->d_name);
    }
    if (dir)
        closedir(dir);
    return count;
}

static void try_everything(void)
{
    char other[PATH_MAX], value[16];
    struct stat st;

    path_beside(".other", other);
    fails_with("stat", stat(name, &st), ENOENT);
    fails_with("access", access(name, F_OK), ENOENT);
    fails_with("open", open(name, O_RDONLY), ENOENT);
    fails_with("open for writing", open(name, O_WRONLY), ENOENT);
    fails_with("open O_PATH", open(name, O_PATH), ENOENT);
    fails_with("truncate", truncate(name, 0), ENOENT);
    fails_with("chmod", chmod(name, 0644), ENOENT);
    fails_with("getxattr", (int)getxattr(name, "user.saveseal.seal", value, sizeof value), ENOENT);
    fails_with("link", link(name, other), ENOENT);
    fails_with("rename", rename(name, other), ENOENT);
    fails_with("unlink", unlink(name), ENOENT);
    fails_with("stat of the other name", stat(other, &st), ENOENT);
    if (listed() != 0)
        complain(&shared->seen, "readdir shows a half-written name\n");
}

static void expect_round(const char *what, int fd, uint32_t want)
{
    uint32_t round = 0;
    int error = errno;

    if (fd < 0)
        complain(&shared->seen, "%s: %s\n", what, strerror(error));
    else if (look_into(fd, &round) != WHOLE || round != want)
        complain(&shared->seen, "%s: round %u instead of %u\n", what, round, want);
}

/* Two descriptors of the version before, one of them O_PATH. */
struct held {
    int fd, path_fd;
    uint32_t round;
};

static void hold(struct held *held, uint32_t round)
{
    held->fd = open(name, O_RDONLY | O_CLOEXEC);
    held->path_fd = open(name, O_PATH | O_CLOEXEC);
    held->round = round;
    expect_round("the version to hold", held->fd, round);
}

static void expect_held(const struct held *held)
{
    char path[64];

    expect_round("the descriptor from before", held->fd, held->round);
    snprintf(path, sizeof path, "/proc/self/fd/%d", held->path_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    expect_round("the O_PATH descriptor from before", fd, held->round);
    close(fd);
}

/* While a new version is half-written, the old one is there for every purpose. */
static void use_old_version(const struct held *held)
{
    char other[PATH_MAX];

    path_beside(".other", other);
    expect_held(held);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    expect_round("the old version", fd, held->round);
    close(fd);
    if (listed() != 1)
        complain(&shared->seen, "readdir shows the name %u times\n", listed());
    if (link(name, other) < 0 || unlink(other) < 0)
        complain(&shared->seen, "link and unlink of the old version: %s\n", strerror(errno));
    if (rename(name, other) < 0 || rename(other, name) < 0)
        complain(&shared->seen, "rename of the old version and back: %s\n", strerror(errno));
    expect_held(held);
}

static void let_go(struct held *held)
{
    expect_held(held);
    close(held->fd);
    close(held->path_fd);
}

/* ---- the one who looks when the writer says so ---- */

void put_asking(enum asking asking)
{
    atomic_store(&shared->asking, asking);
    syscall(SYS_futex, &shared->asking, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void ask(enum asking asking, uint32_t round)
{
    shared->round = round;
    put_asking(asking);
    for (uint32_t now; (now = atomic_load(&shared->asking)) != NOTHING;)
        syscall(SYS_futex, &shared->asking, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void answer(enum asking asking, struct held *held)
{
    if (asking == CLOSED && look_finds(shared->round))
        exec_check(shared->round);
    if (asking == HALF_NEW)
        try_everything();
    if (asking == HOLD)
        hold(held, shared->round);
    if (asking == HALF_OLD)
        use_old_version(held);
    if (asking == REPLACED)
        let_go(held);
}

void run_looker_on(void)
{
    struct held held = {-1, -1, 0};

    for (;;) {
        enum asking asking = atomic_load(&shared->asking);
        if (asking == END)
            return;
        if (asking == NOTHING) {
            syscall(SYS_futex, &shared->asking, FUTEX_WAIT, NOTHING, NULL, NULL, 0);
            continue;
        }
        answer(asking, &held);
        put_asking(NOTHING);
    }
}
