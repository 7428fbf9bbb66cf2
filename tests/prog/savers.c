/* savers WHAT FILE: programs that save in ways that are hard for whoever stands between them and the kernel. Each ends
 * with 0 within seconds, or never. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

static void save_in_threads(void)
{
    in_threads(save_often, save_often);
}

static void save_beside_forks(void)
{
    in_threads(save_often, fork_often);
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

/* The next one comes a while after this, so that something is done between them where fork takes long. */
static void alarm_soon(void)
{
    const struct itimerval soon = {.it_value.tv_usec = 5000};
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void fork_in_handler(int signal)
{
    (void)signal;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    alarm_soon();
}

static void with_a_forking_handler(void)
{
    const struct itimerval never = {0};

    signal(SIGALRM, fork_in_handler);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    alarm_soon();
    for (int i = 0; i < 60 * ROUNDS; i++)
        close(dup(fd));
    setitimer(ITIMER_REAL, &never, NULL);
    must(write(fd, block, sizeof block) == sizeof block && close(fd) == 0, "close");
}

static int duplicated; /* a descriptor of the file */

static void *duplicate_often(void *context)
{
    while (!atomic_load((_Atomic bool *)context))
        close(dup(duplicated));
    return NULL;
}

/* As fork, but no handler of fork hears of it: what locks threads have in that moment, their copies in the child have
 * for ever. */
static void fork_without_a_word(void)
{
    static _Atomic bool over;
    pthread_t threads[2];
    int status;

    pid_t (*fork_now)(void);
    *(void **)(void *)&fork_now = dlsym(RTLD_DEFAULT, "_Fork");
    if (!fork_now)
        fork_now = fork; /* before glibc 2.34 */
    duplicated = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; i < 2; i++)
        must(pthread_create(&threads[i], NULL, duplicate_often, &over) == 0, "pthread_create");
    for (int i = 0; i < ROUNDS / 2; i++) {
        pid_t pid = fork_now();
        if (pid == 0) {
            close(dup(duplicated));
            _exit(0);
        }
        must(waitpid(pid, &status, 0) == pid && status == 0, "a child");
    }
    over = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    must(write(duplicated, block, sizeof block) == sizeof block && close(duplicated) == 0, "close");
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

/* A child has a copy of what its parent has not written yet, and ends without a word: it is in the file once. */
static void fork_with_a_full_buffer(void)
{
    int status;

    FILE *file = fopen(path, "w");
    must(file && fputs("once", file) >= 0, "fopen");
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    must(waitpid(pid, &status, 0) == pid && status == 0, "a child");
    must(fclose(file) == 0, "fclose");
}

static void end_quickly(void)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    must(write(fd, block, sizeof block) == sizeof block, "write");
    quick_exit(0);
}

static void fail_quickly(void)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    must(write(fd, block, sizeof block) == sizeof block, "write");
    quick_exit(3);
}

/* The last descriptor is closed by dup2, when none is free for whoever has to look at the draft. */
static void close_without_descriptors(void)
{
    const struct rlimit few = {.rlim_cur = 40, .rlim_max = 1000};
    int last = -1;

    must(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(write(fd, block, sizeof block) == sizeof block, "write");
    for (int null; (null = open("/dev/null", O_RDONLY)) >= 0;)
        last = null;
    must(dup2(last, fd) == fd, "dup2");
    close_range(20, ~0U, 0);
}

static _Atomic bool written;

static void *save_much(void *context)
{
    (void)context;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 25000; i++)
        must(write(fd, block, sizeof block) == sizeof block, "write");
    written = true;
    close(fd);
    return NULL;
}

/* A thread is cancelled in close(): another can save all the same. */
static void cancel(void)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, save_much, NULL) == 0, "pthread_create");
    while (!written)
        usleep(100);
    usleep(1000);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    save(path, 0);
}

/* What shells do: the child of vfork, whose memory is ours, opens a file for the program that it calls. */
static void open_in_a_vfork_child(void)
{
    char other[4096];
    int status;

    pid_t pid = vfork();
    if (pid == 0) {
        dup2(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
        execlp("echo", "echo", "spawned", NULL);
        _exit(1);
    }
    must(waitpid(pid, &status, 0) == pid && status == 0, "a child");
    snprintf(other, sizeof other, "%s.other", path);
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(write(fd, block, sizeof block) == sizeof block, "write");
    int reader = open(path, O_RDONLY);
    must(reader >= 0 && close(reader) == 0, "what the child saved can be read");
    must(close(fd) == 0, "close");
    save(path, O_APPEND);
}

static void *open_for_ever(void *context)
{
    (void)context;
    return open(path, O_WRONLY) < 0 ? NULL : context; /* a pipe that nobody reads */
}

static void cancel_an_open(void)
{
    pthread_t thread;
    void *result;

    must(pthread_create(&thread, NULL, open_for_ever, NULL) == 0, "pthread_create");
    usleep(100000);
    pthread_cancel(thread);
    must(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED, "pthread_cancel");
}

static bool is_foreign(const struct dirent *entry)
{
    return strncmp(entry->d_name, ".saveseal.", 10) == 0;
}

static int is_wanted(const struct dirent *entry)
{
    must(!is_foreign(entry), "scandir finds hidden names");
    return strcmp(entry->d_name, strrchr(path, '/') + 1) == 0;
}

/* glob, with hidden names, too: leaves the caller's structure as it is for globfree. */
static void find_by_pattern(const char *dir)
{
    char pattern[4096 + 16];
    glob_t found;
    size_t times = 0;

    snprintf(pattern, sizeof pattern, "%s/*", dir);
    must(glob(pattern, GLOB_PERIOD, NULL, &found) == 0, "glob");
    snprintf(pattern, sizeof pattern, "%s/.saveseal.*", dir);
    must(glob(pattern, GLOB_APPEND | GLOB_NOMAGIC, NULL, &found) == GLOB_NOMATCH, "glob finds hidden names");
    for (size_t i = 0; i < found.gl_pathc; i++) {
        must(!strstr(found.gl_pathv[i], "/.saveseal."), "glob finds hidden names");
        times += strcmp(found.gl_pathv[i], path) == 0;
    }
    must(times == 1, "glob does not find its own draft");
    globfree(&found);
}

/* Its own draft is listed under its public name, and nobody's under its hidden one. */
static void list(void)
{
    char dir[4096];
    const size_t size = offsetof(struct dirent, d_name) + 256; /* what readdir_r is promised */
    char *room = malloc(size + 64);
    struct dirent **found, *entry = (struct dirent *)(void *)room, *next;
    int times = 0;

    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    must(scandir(dir, &found, is_wanted, alphasort) == 1, "scandir");
    free(found[0]);
    free(found);
    DIR *directory = opendir(dir);
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    memset(room, 'x', size + 64);
    while (readdir_r(directory, entry, &next) == 0 && next) {
        must(!is_foreign(entry), "readdir_r finds hidden names");
        times += strcmp(entry->d_name, strrchr(path, '/') + 1) == 0;
    }
    must(times == 1, "readdir_r");
    for (size_t i = size; i < size + 64; i++)
        must(room[i] == 'x', "readdir_r writes past its buffer");
    free(room);
    closedir(directory);
    find_by_pattern(dir);
    must(write(fd, block, sizeof block) == sizeof block && close(fd) == 0, "close");
}

/* open() gives the lowest number that is free: programs that close 0 and open something else count on it. */
static void open_lowest(int flags, const char *what)
{
    int lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    int fd = open(path, flags, 0600);
    must(fd == lowest, what);
    must(pwrite(fd, block, sizeof block, 0) == sizeof block && close(fd) == 0, "close");
}

static void open_the_lowest(void)
{
    open_lowest(O_WRONLY | O_CREAT | O_TRUNC, "new");
    open_lowest(O_WRONLY | O_CREAT | O_TRUNC, "over an image");
    open_lowest(O_RDWR, "a change of an image");
    int fd = open(path, O_RDONLY);
    must(syscall(SYS_fremovexattr, fd, "user.saveseal.seal") == 0, "fremovexattr"); /* by number: past the library */
    close(fd);
    open_lowest(O_RDWR, "a change of an unsealed file");
    fclose(stdin);
    FILE *file = fopen(path, "w");
    must(file && fileno(file) == 0 && fputs("stream", file) >= 0 && fclose(file) == 0, "fopen");
}

static void *close_it(void *fd)
{
    close(*(int *)fd);
    return NULL;
}

/* The process ends with status 0 when another thread has closed the file, but its close() has not returned. */
static void end_beside_a_close(void)
{
    static int fd;
    pthread_t thread;

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(write(fd, block, sizeof block) == sizeof block && close(fd) == 0, "close"); /* what it loads is there by now */
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 8192; i++)
        must(write(fd, block, sizeof block) == sizeof block, "write");
    must(pthread_create(&thread, NULL, close_it, &fd) == 0, "pthread_create");
    while ((fcntl(fd, F_GETFL) & O_ACCMODE) ==
           O_WRONLY) /* the number may be that of a descriptor of the library by now */
        ;
}

static const struct {
    const char *name;
    void (*run)(void);
} programs[] = {
    {"threads", save_in_threads},
    {"forks", save_beside_forks},
    {"reading", end_while_reading},
    {"locks", lock_itself},
    {"handler", with_a_forking_handler},
    {"underscore", fork_without_a_word},
    {"heir", fail_beside_an_heir},
    {"killed", kill_after_publishing},
    {"buffer", fork_with_a_full_buffer},
    {"quick", end_quickly},
    {"quick-failure", fail_quickly},
    {"few", close_without_descriptors},
    {"cancel", cancel},
    {"cancel-open", cancel_an_open},
    {"vfork", open_in_a_vfork_child},
    {"list", list},
    {"lowest", open_the_lowest},
    {"closing", end_beside_a_close},
};

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    path = argc > 2 ? argv[2] : "";
    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(what, programs[i].name) == 0) {
            programs[i].run();
            return 0;
        }
    }
    return 2;
}
