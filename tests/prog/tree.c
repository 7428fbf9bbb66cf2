/* tree work DIR ROUNDS: makes, renames, links, removes and changes small files in DIR in every way, checks what comes
 * of each call, and prints how many rounds it has done, at most ROUNDS; SIGTERM ends it after the round that it is in.
 * tree check DIR ROUNDS: whether DIR is as so many rounds leave it, to the last name and byte.
 *
 * Nothing else may use DIR. What is wrong is told on standard error; then the status is 1. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE_MAX_TEXT ((size_t)200 * 1024)
#define LINES 8

static unsigned round_number, wrongs;
static volatile sig_atomic_t ended;

static void wrong(const char *what, const char *how)
{
    if (wrongs++ < 20)
        fprintf(stderr, "round %u: %s: %s\n", round_number, what, how);
}

/* result: of a system call, which must have failed with error, 0: must not have failed. */
static void want(const char *what, long result, int error)
{
    char how[128];
    int got = result < 0 ? errno : 0;

    if (got == error)
        return;
    snprintf(how, sizeof how, "%s, wanted %s", got ? strerrorname_np(got) : "it succeeds",
             error ? strerrorname_np(error) : "success");
    wrong(what, how);
}

/* ---- files ---- */

/* Text that tells its name, its round, and each of its places. Now and then a long one. */
static size_t compose(const char *name, char *text)
{
    size_t wanted = round_number % 16 == 6 ? SIZE_MAX_TEXT - 64 : 40, len = 0;

    while (len < wanted)
        len += (size_t)snprintf(text + len, 64, "%s %u %zu\n", name, round_number, len);
    return len;
}

static void put(const char *name, int flags, const char *words)
{
    static char text[SIZE_MAX_TEXT], back[SIZE_MAX_TEXT];
    size_t len = compose(words, text);

    int fd = open(name, O_RDWR | flags, 0644);
    want("open to write", fd, 0);
    if (fd < 0)
        return;
    want("write", write(fd, text, len) == (ssize_t)len ? 0 : -1, 0);
    if (pread(fd, back, len, 0) != (ssize_t)len || memcmp(text, back, len) != 0)
        wrong(name, "not what was just written");
    want("close", close(fd), 0);
}

static void holds(const char *name, const char *words, const char *more)
{
    static char text[SIZE_MAX_TEXT + 1024], got[SIZE_MAX_TEXT + 1024];
    size_t len = compose(words, text), more_len = strlen(more), have = 0;
    ssize_t n = 1;

    memcpy(text + len, more, more_len + 1);
    len += more_len;
    int fd = open(name, O_RDONLY);
    want("open to read", fd, 0);
    if (fd < 0)
        return;
    while (n > 0 && have < sizeof got)
        have += (size_t)((n = read(fd, got + have, sizeof got - have)) > 0 ? n : 0);
    want("read", n, 0);
    want("close", close(fd), 0);
    if (have != len || memcmp(text, got, len) != 0)
        wrong(name, "other content");
}

static void is_gone(const char *name)
{
    struct stat st;

    want("stat of what is gone", lstat(name, &st), ENOENT);
}

static void lists(const char *dir, const char *wanted)
{
    struct dirent **entries;
    char got[256] = "";

    int n = scandir(dir, &entries, NULL, alphasort);
    want("scandir", n, 0);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.' || strlen(entries[i]->d_name) > 2)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    if (strcmp(got, wanted) != 0)
        wrong("listing", got);
}

/* ---- a round ---- */

static const char *lines(char *text)
{
    char *at = text;

    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "line %d of %u\n", i, round_number);
    return text;
}

static void append(const char *name, int flags)
{
    char line[64];

    int fd = open(name, O_WRONLY | O_APPEND | flags, 0644);
    want("open to append", fd, 0);
    for (int i = 0; i < LINES; i++) {
        int len = snprintf(line, sizeof line, "line %d of %u\n", i, round_number);
        want("append", write(fd, line, (size_t)len) == len ? 0 : -1, 0);
    }
    want("close", close(fd), 0);
}

static void make_names(void)
{
    char to[16] = "";

    want("mkdir of what is there", mkdir(".", 0755), EEXIST);
    put("a", O_CREAT | O_EXCL, "one");
    want("O_EXCL of what is there", open("a", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    want("rename", rename("a", "b"), 0);
    want("rename again", rename("a", "b"), ENOENT);
    is_gone("a");
    holds("b", "one", "");
    want("symlink", symlink("b", "l"), 0);
    want("symlink again", symlink("b", "l"), EEXIST);
    want("readlink", readlink("l", to, sizeof to) == 1 && to[0] == 'b' ? 0 : -1, 0);
    want("link", link("b", "c"), 0);
    want("link again", link("b", "c"), EEXIST);
}

static void change_content(void)
{
    char text[512];

    put("b", O_TRUNC, "two");
    holds("b", "two", "");
    holds("c", "one", "");
    append("b", 0);
    holds("b", "two", lines(text));
    append("n", O_CREAT);
    int fd = open("n", O_RDONLY);
    char got[512] = "";
    ssize_t n = read(fd, got, sizeof got - 1);
    if (n != (ssize_t)strlen(text) || strcmp(got, text) != 0)
        wrong("n", "other lines");
    close(fd);
    want("truncate", truncate("n", 7), 0);
    want("unlink", unlink("n"), 0);
    want("unlink again", unlink("n"), ENOENT);
}

static void change_attributes(void)
{
    struct stat st;
    char value[16] = "";

    want("setxattr", setxattr("b", "user.k", "1", 1, XATTR_CREATE), 0);
    want("setxattr again", setxattr("b", "user.k", "1", 1, XATTR_CREATE), EEXIST);
    want("setxattr over", setxattr("b", "user.k", "22", 2, XATTR_REPLACE), 0);
    want("getxattr", getxattr("b", "user.k", value, sizeof value) == 2 && memcmp(value, "22", 2) == 0 ? 0 : -1, 0);
    want("removexattr", removexattr("b", "user.k"), 0);
    want("removexattr again", removexattr("b", "user.k"), ENODATA);
    want("setxattr to stay", setxattr("b", "user.kept", "kept", 4, 0), 0);
    want("chmod", chmod("b", 0640), 0);
    want("stat", stat("b", &st) == 0 && (st.st_mode & 0777) == 0640 ? 0 : -1, 0);
}

static int rename_with(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void exchange(void)
{
    char text[512];

    put("e", O_CREAT, "over");
    want("rename over", rename("e", "c"), 0);
    is_gone("e");
    holds("c", "over", "");
    want("rename, not over", rename_with("c", "b", RENAME_NOREPLACE), EEXIST);
    want("rename, not over, of what is free", rename_with("c", "d", RENAME_NOREPLACE), 0);
    want("rename, not over, again", rename_with("c", "d", RENAME_NOREPLACE), ENOENT);
    for (int i = 0; i < 3; i++)
        want("exchange", rename_with("b", "d", RENAME_EXCHANGE), 0);
    holds("b", "over", "");
    holds("d", "two", lines(text));
}

static void make_directories(void)
{
    want("mkdir", mkdir("s", 0755), 0);
    want("mkdir again", mkdir("s", 0755), EEXIST);
    put("s/x", O_CREAT | O_EXCL, "inner");
    want("rmdir of what is full", rmdir("s"), ENOTEMPTY);
    want("rename of a directory", rename("s", "t"), 0);
    want("mkdir of its name", mkdir("s", 0755), 0);
    want("exchange of directories", rename_with("s", "t", RENAME_EXCHANGE), 0);
    holds("s/x", "inner", "");
    want("rename out of a directory", rename("s/x", "t/x"), 0);
    want("rmdir", rmdir("s"), 0);
    want("rmdir again", rmdir("s"), ENOENT);
    if (round_number % 3 == 0)
        return;
    want("unlink in a directory", unlink("t/x"), 0);
    want("rmdir of what was renamed", rmdir("t"), 0);
}

/* A draft that is not to become anything. */
static void drop_draft(void)
{
    int fd = open("z", O_WRONLY | O_CREAT | O_EXCL, 0644);

    want("open what will go", fd, 0);
    want("write what will go", write(fd, "gone", 4), 0);
    want("unlink a draft", unlink("z"), 0);
    want("close what went", close(fd), 0);
    is_gone("z");
}

static const char *names(void)
{
    return round_number % 3 == 0 ? "b d l t " : "b d l ";
}

static void remove_all(void)
{
    if (round_number % 3 == 0) {
        want("unlink", unlink("t/x"), 0);
        want("rmdir", rmdir("t"), 0);
    }
    want("unlink", unlink("b"), 0);
    want("unlink", unlink("d"), 0);
    want("unlink", unlink("l"), 0);
    lists(".", "");
}

static bool stays(void)
{
    return round_number % 2 == 0;
}

static void work(void)
{
    char dir[16];

    snprintf(dir, sizeof dir, "r%u", round_number);
    want("mkdir of the round", mkdir(dir, 0755), 0);
    if (chdir(dir) < 0) {
        wrong(dir, strerror(errno));
        return;
    }
    make_names();
    change_content();
    change_attributes();
    exchange();
    make_directories();
    drop_draft();
    lists(".", names());
    if (!stays())
        remove_all();
    want("chdir", chdir(".."), 0);
    if (!stays())
        want("rmdir of the round", rmdir(dir), 0);
}

static void check(void)
{
    char dir[16], text[512], value[16];

    snprintf(dir, sizeof dir, "r%u", round_number);
    if (!stays()) {
        is_gone(dir);
        return;
    }
    if (chdir(dir) < 0) {
        wrong(dir, strerror(errno));
        return;
    }
    lists(".", names());
    holds("b", "over", "");
    holds("d", "two", lines(text));
    if (getxattr("d", "user.kept", value, sizeof value) != 4)
        wrong("d", "no attribute");
    if (round_number % 3 == 0)
        holds("t/x", "inner", "");
    want("chdir", chdir(".."), 0);
}

static void end(int number)
{
    (void)number;
    ended = 1;
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[1], "work") != 0 && strcmp(argv[1], "check") != 0)) {
        fputs("usage: tree work|check DIR ROUNDS\n", stderr);
        return 2;
    }
    unsigned rounds = (unsigned)atoi(argv[3]);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end, .sa_flags = SA_RESTART}, NULL);
    if (chdir(argv[2]) < 0) {
        perror(argv[2]);
        return 1;
    }
    for (; round_number < rounds && !ended && wrongs < 100; round_number++)
        argv[1][0] == 'w' ? work() : check();
    printf("rounds %u wrong %u\n", round_number, wrongs);
    return wrongs > 0;
}
