#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "log.h"
#include "loop.h"
#include "mountpoint.h"

#define SS_ARGUMENTS_MAX 256
#define WORKER_FAILED 4         /* exit status: it could not start its threads */
#define WORKER_STOPPED 3        /* exit status: ended because it was told to, the mount goes on */
#define SHORT_LIFE 20           /* ms */
#define PATIENCE 64             /* with workers that die without having served anything, one after the other: */
#define FAULT_WEIGHT 8          /* what one that died by its own fault counts; */
#define SHORT_LIFE_WEIGHT 1     /* what one that was killed soon by somebody else does */
#define STOP_SECONDS 30         /* for what a worker has in hand at an upgrade */
#define PROBE_SECONDS 10        /* for the new program to say whether it can go on */
#define KEEPER_OOM_SCORE "-900" /* what dies with the keeper is the mount */

struct worker {
    const struct ss_keeper *keeper;
    pid_t keeper_pid;
};

/* --- a worker --- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, text, strlen(text));
    (void)n; /* without the privilege for it, it stays as it is */
    close(fd);
}

_Noreturn static void be_worker(const struct worker *worker)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != worker->keeper_pid)
        _exit(1);
    write_file("/proc/self/oom_score_adj", worker->keeper->fs->shared->oom_score);
    int r = ss_loop_run(worker->keeper->session, worker->keeper->fs);
    if (r == -ECANCELED)
        _exit(WORKER_STOPPED);
    if (r == -EAGAIN || r == -ENOMEM)
        _exit(WORKER_FAILED);
    if (r < 0)
        ss_log(LOG_ERR, "%s: ended: %s", worker->keeper->fs->mount, strerrordesc_np(-r));
    exit(r < 0);
}

/* Like fork(), but it shares the descriptor table: what it opens stays open when it dies, under the same number. The C
 * library does not know of it; its idea of this thread's id is the keeper's in there, which only matters to signals
 * that a thread sends itself. Returns the pid or -errno. */
static pid_t start_worker(const struct worker *worker)
{
    struct clone_args arguments = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};

    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0)
        be_worker(worker);
    return pid < 0 ? -errno : pid;
}

/* --- an upgrade --- */

int ss_keeper_takes_over(const char *layout)
{
    char mine[32];

    snprintf(mine, sizeof mine, "%llx", (unsigned long long)ss_fs_layout());
    return strcmp(layout, mine) == 0 ? 0 : 1;
}

/* Waits for a child of ours. Returns its status, or -1 when it had to be killed. */
static int wait_for(pid_t pid, int seconds)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    int status;

    for (int i = 0; i < seconds * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

/* The arguments that the mount was started with, and one more. False: too many. */
static bool compose(const struct ss_keeper *keeper, char *option, char *arguments[SS_ARGUMENTS_MAX + 2])
{
    char *const *given = keeper->arguments;
    int count = 0;

    arguments[count++] = *given++;
    arguments[count++] = option;
    if (*given && strncmp(*given, "--resume=", 9) == 0)
        given++; /* it was upgraded before */
    while (*given && count <= SS_ARGUMENTS_MAX)
        arguments[count++] = *given++;
    arguments[count] = NULL;
    return !*given;
}

/* Asks the program on disk, so that a mount is never left to one that can not be started or knows other tables. */
static bool can_take_over(const struct ss_keeper *keeper)
{
    char *arguments[SS_ARGUMENTS_MAX + 2], layout[64];
    sigset_t none;

    snprintf(layout, sizeof layout, "--takes-over=%llx", (unsigned long long)ss_fs_layout());
    if (!compose(keeper, layout, arguments))
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(keeper->program, arguments);
        _exit(127);
    }
    int status = pid < 0 ? -1 : wait_for(pid, PROBE_SECONDS);
    return status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* For every descriptor that is open: mark it to be closed by exec, or not. No memory is allocated. */
static void close_on_exec(bool closes)
{
    struct entry {
        uint64_t ino;
        int64_t off;
        unsigned short size;
        unsigned char type;
        char name[];
    };
    _Alignas(8) char batch[4096];
    long n;

    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (dir >= 0 && (n = syscall(SYS_getdents64, dir, batch, sizeof batch)) > 0) {
        for (long at = 0; at < n;) {
            const struct entry *entry = (const void *)(batch + at);
            int fd = atoi(entry->name);
            at += entry->size;
            if (entry->name[0] != '.' && fd > 2 && fd != dir)
                fcntl(fd, F_SETFD, closes ? FD_CLOEXEC : 0);
        }
    }
    if (dir >= 0)
        close(dir);
}

void ss_keeper_resumed(void)
{
    close_on_exec(true);
}

/* Returns only when that is not possible. No worker runs. */
static void become_new_version(const struct ss_keeper *keeper)
{
    char *arguments[SS_ARGUMENTS_MAX + 2], resume[32];

    snprintf(resume, sizeof resume, "--resume=%d", keeper->fs->arena.fd);
    compose(keeper, resume, arguments);
    close_on_exec(false);
    execv(keeper->program, arguments);
    ss_log(LOG_ERR, "%s: %s can not be started: %s", keeper->fs->mount, keeper->program, strerror(errno));
    close_on_exec(true);
}

int ss_keeper_upgrade(const char *mount)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct ss_mount_state before, now;

    int r = ss_mount_ask(mount, &before);
    if (r == 0)
        r = ss_mount_signal(mount, &before, SIGHUP);
    if (r < 0) {
        fprintf(stderr, "savesealfs: %s: %s\n", mount,
                r == -ENODATA || r == -ENOTSUP ? "is no mount of savesealfs" : strerrordesc_np(-r));
        return 1;
    }
    for (int i = 0; i < (STOP_SECONDS + 2 * PROBE_SECONDS) * 50; i++) {
        nanosleep(&pause, NULL);
        if (ss_mount_ask(mount, &now) < 0 || now.refusals != before.refusals) {
            fprintf(stderr,
                    "savesealfs: %s: the program on disk can not go on with this mount; the old one serves on; "
                    "unmount and mount again to use the new one\n",
                    mount);
            return 1;
        }
        if (now.upgrades != before.upgrades) {
            printf("%s: is served by version %s now\n", mount, now.version);
            return 0;
        }
    }
    fprintf(stderr, "savesealfs: %s: no answer\n", mount);
    return 1;
}

/* --- the keeper --- */

struct watch {
    bool detached;
    bool upgrading;
    int64_t stop_by; /* as now() gives it, while upgrading */
    bool ended;      /* by a second signal */
};

/* CLOCK_MONOTONIC, milliseconds. */
static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void begin_upgrade(const struct ss_keeper *keeper, pid_t worker, struct watch *watch)
{
    if (watch->upgrading || watch->detached)
        return;
    if (!can_take_over(keeper)) {
        ss_log(LOG_WARNING, "%s: %s can not go on with this mount: not upgraded", keeper->fs->mount, keeper->program);
        atomic_fetch_add(&keeper->fs->shared->refusals, 1);
        return;
    }
    watch->upgrading = true;
    watch->stop_by = now() + INT64_C(1000) * STOP_SECONDS;
    kill(worker, SIGHUP);
}

static void end_mount(const struct ss_keeper *keeper, pid_t worker, struct watch *watch)
{
    if (watch->detached) {
        ss_log(LOG_WARNING, "%s: ended by a second signal; what is being written now is kept as interrupted drafts",
               keeper->fs->mount);
        watch->ended = true;
        kill(worker, SIGKILL);
        return;
    }
    ss_log(LOG_INFO, "%s: unmounting", keeper->fs->mount);
    ss_mount_detach(keeper->fs->mount);
    watch->detached = true;
}

/* Returns the status of the worker when it has ended. */
static int watch_worker(const struct ss_keeper *keeper, pid_t worker, struct watch *watch)
{
    const struct timespec tick = {.tv_sec = 1};
    sigset_t set;
    int status = SIGKILL;

    ss_loop_signals(&set);
    while (waitpid(worker, &status, WNOHANG) == 0) {
        int signal = sigtimedwait(&set, NULL, &tick);
        if (signal == SIGTERM || signal == SIGINT)
            end_mount(keeper, worker, watch);
        else if (signal == SIGHUP)
            begin_upgrade(keeper, worker, watch);
        if (watch->upgrading && now() > watch->stop_by)
            kill(worker, SIGKILL); /* what it has in hand is sent again */
    }
    return status;
}

static bool is_own_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGILL || signal == SIGFPE ||
           signal == SIGTRAP || signal == SIGSYS;
}

/* A worker was killed that had lived for so many ms; signal 0: it could not be started. *impatience: with those before
 * it. False: that is enough. */
static bool may_go_on(const struct ss_keeper *keeper, int signal, uint64_t served, int64_t life, unsigned *impatience)
{
    struct ss_shared *shared = keeper->fs->shared;

    shared->own_fault = is_own_fault(signal);
    if (served > 0)
        *impatience = 0;
    else if (shared->own_fault || signal == 0)
        *impatience += FAULT_WEIGHT;
    else if (life < SHORT_LIFE) /* later, it may just have had something long in hand */
        *impatience += SHORT_LIFE_WEIGHT;
    if (signal == 0)
        ss_log(LOG_ERR, "%s: no worker could be started: too many processes, or too little memory", keeper->fs->mount);
    else
        ss_log(LOG_ERR, "%s: the worker ended by signal %d (%s) after %llu requests", keeper->fs->mount, signal,
               sigdescr_np(signal) ? sigdescr_np(signal) : "unknown", (unsigned long long)served);
    if (*impatience > PATIENCE) {
        ss_log(LOG_CRIT, "%s: one worker after the other dies without serving anything: giving up; drafts are kept",
               keeper->fs->mount);
        return false;
    }
    if (*impatience > FAULT_WEIGHT) {
        const struct timespec pause = {.tv_nsec = 10000000L * *impatience};
        nanosleep(&pause, NULL);
    }
    atomic_fetch_add(&shared->restarts, 1);
    return true;
}

static void read_oom_score(char *text, size_t size)
{
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

int ss_keeper_run(const struct ss_keeper *keeper)
{
    struct worker worker = {.keeper = keeper, .keeper_pid = getpid()};
    struct ss_shared *shared = keeper->fs->shared;
    struct watch watch = {.detached = false};
    unsigned impatience = 0;

    if (!shared->oom_score[0])
        read_oom_score(shared->oom_score, sizeof shared->oom_score);
    write_file("/proc/self/oom_score_adj", KEEPER_OOM_SCORE);
    for (;;) {
        uint64_t served = atomic_load(&shared->served);
        int64_t begun = now();
        pid_t pid = start_worker(&worker);
        int status = pid < 0 ? W_EXITCODE(WORKER_FAILED, 0) : watch_worker(keeper, pid, &watch);
        keeper->fs->resumed = true;
        bool failed = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_FAILED;
        if (WIFEXITED(status) && WEXITSTATUS(status) != WORKER_STOPPED && !failed)
            return WEXITSTATUS(status);
        if (watch.ended)
            return 1;
        if (watch.upgrading) {
            watch.upgrading = false;
            become_new_version(keeper);
            atomic_fetch_add(&shared->refusals, 1);
        } else if ((WIFSIGNALED(status) || failed) &&
                   !may_go_on(keeper, failed ? 0 : WTERMSIG(status), atomic_load(&shared->served) - served,
                              now() - begun, &impatience)) {
            return 1;
        }
    }
}

void ss_keeper_note_descriptors(struct ss_shared *shared)
{
    for (int fd = 0; fd < 4096 && shared->kept_count < SS_KEPT_MAX; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            shared->kept[shared->kept_count++] = fd;
}
