/* killat KEEPER POINT...: kills the worker of a keeper at an exact point of its work; see usage below.
 *
 * Prints "ready" when it is attached and the worker is idle. From then on each entry into and each exit from a system
 * call of any of its threads is one more point. At its entry the call has not been made and is not made any more; at
 * its exit it is done, and the worker never learns of it. Each further POINT is one of the next worker, counted from
 * its first. Prints "killed N entry|exit NUMBER-OF-THE-CALL" for each. When standard input ends and the worker is idle
 * before it has come to its point, prints "alive N" and lets it go on. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS_MAX 1024
#define QUIET 4     /* ms without an event after which a worker that only waits is idle */
#define PATIENCE 60 /* seconds after which it gives up */

static const char usage[] = "usage: killat KEEPER N[+STEPS][@MS]...\n"
                            "N: the Nth point, 0 never; STEPS: so many instructions of that thread later;\n"
                            "MS: the next worker begins so many milliseconds later\n";

struct task {
    pid_t tid;
    int call; /* the one it is in, -1 none */
};

static pid_t keeper, worker;
static struct task tasks[TASKS_MAX];
static int task_count;
static bool armed;
static long points, target, steps, pause_ms;
static char **next_target;
static struct {
    pid_t tid; /* the thread that is stepped, 0 none */
    long left;
    const char *side;
    int call;
} stepping;

static const int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;

static struct task *find(pid_t tid)
{
    for (int i = 0; i < task_count; i++)
        if (tasks[i].tid == tid)
            return &tasks[i];
    return NULL;
}

static struct task *find_or_add(pid_t tid)
{
    struct task *task = find(tid);

    if (!task && task_count < TASKS_MAX) {
        task = &tasks[task_count++];
        *task = (struct task){.tid = tid, .call = -1};
    }
    return task;
}

static void drop(pid_t tid)
{
    struct task *task = find(tid);

    if (task)
        *task = tasks[--task_count];
}

static void take_target(void)
{
    char *end = NULL;

    points = target = steps = pause_ms = 0;
    if (!*next_target)
        return;
    target = strtol(*next_target++, &end, 10);
    if (*end == '+')
        steps = strtol(end + 1, &end, 10);
    if (*end == '@')
        pause_ms = strtol(end + 1, NULL, 10);
}

static pid_t child_of(pid_t pid)
{
    char path[64];
    long child = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%ld", &child) != 1)
        child = 0;
    if (file)
        fclose(file);
    return (pid_t)child;
}

/* Returns how many threads were new. */
static int seize_threads(void)
{
    char path[64];
    int found = 0;

    snprintf(path, sizeof path, "/proc/%d/task", worker);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        pid_t tid = atoi(entry->d_name);
        if (tid <= 0 || find(tid) || ptrace(PTRACE_SEIZE, tid, NULL, options) < 0)
            continue;
        find_or_add(tid);
        ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
        found++;
    }
    if (dir)
        closedir(dir);
    return found;
}

static int attach(void)
{
    if (ptrace(PTRACE_SEIZE, keeper, NULL, options) < 0)
        return -1;
    worker = child_of(keeper);
    while (worker > 0 && seize_threads() > 0)
        continue;
    return worker > 0 && task_count > 0 ? 0 : -1;
}

static void do_kill(const char *side, int call)
{
    kill(worker, SIGKILL);
    usleep((useconds_t)pause_ms * 1000); /* the keeper is stopped by the signal that it gets, until this goes on */
    printf("killed %ld %s %d\n", points, side, call);
    fflush(stdout);
    stepping.tid = 0;
    take_target();
    armed = target > 0;
    worker = 0; /* until the keeper has another */
}

/* Returns true when the thread is not to go on. */
static bool at_point(struct task *task, const char *side, int call)
{
    if (!armed || worker == 0 || stepping.tid || ++points != target)
        return false;
    if (steps == 0) {
        do_kill(side, call);
        return true;
    }
    stepping.tid = task->tid;
    stepping.left = steps;
    stepping.side = side;
    stepping.call = call;
    return false;
}

/* Returns true when the thread is not to go on. */
static bool at_call(struct task *task)
{
    struct __ptrace_syscall_info info = {0};

    if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof info, &info) < 0)
        return false;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        task->call = (int)info.entry.nr;
        return at_point(task, "entry", task->call);
    }
    int call = task->call;
    task->call = -1;
    return at_point(task, "exit", call);
}

static void go_on(pid_t tid, int signal)
{
    if (tid == keeper)
        ptrace(PTRACE_CONT, tid, NULL, signal);
    else if (tid == stepping.tid)
        ptrace(PTRACE_SINGLESTEP, tid, NULL, signal);
    else
        ptrace(PTRACE_SYSCALL, tid, NULL, signal);
}

static void handle_stop(pid_t tid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    unsigned long born = 0;
    bool stays = false;

    if (tid != keeper && !find(tid))
        find_or_add(tid);
    if (signal == (SIGTRAP | 0x80)) {
        signal = 0;
        if (tid != keeper && find(tid))
            stays = at_call(find(tid));
    } else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
        signal = 0;
        ptrace(PTRACE_GETEVENTMSG, tid, NULL, &born);
        if (tid == keeper && worker == 0)
            worker = (pid_t)born;
    } else if (event) {
        signal = 0;
    } else if (tid == stepping.tid && signal == SIGTRAP) {
        signal = 0;
        if (--stepping.left <= 0) {
            do_kill(stepping.side, stepping.call);
            stays = true;
        }
    }
    if (!stays)
        go_on(tid, signal);
}

/* Returns whether there was an event. */
static bool handle_events(void)
{
    bool any = false;
    int status;
    pid_t tid;

    while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        any = true;
        if (WIFSTOPPED(status))
            handle_stop(tid, status);
        else
            drop(tid);
    }
    return any;
}

static bool waits(int call)
{
    static const int waiting[] = {SYS_read,  SYS_futex,      SYS_rt_sigtimedwait, SYS_poll,
                                  SYS_ppoll, SYS_epoll_wait, SYS_epoll_pwait2};

    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        if (call == waiting[i])
            return true;
    return false;
}

/* Every thread waits for something to do. */
static bool is_idle(void)
{
    if (worker == 0 || !find(worker) || task_count < 3 || stepping.tid)
        return false;
    for (int i = 0; i < task_count; i++)
        if (!waits(tasks[i].call))
            return false;
    return true;
}

/* Waits ms for an event or the end of the input. */
static void wait_event(int signals, bool *input_ends, int ms)
{
    struct pollfd polled[2] = {{.fd = signals, .events = POLLIN},
                               {.fd = *input_ends ? -1 : STDIN_FILENO, .events = POLLIN}};
    struct signalfd_siginfo info;
    char byte;

    poll(polled, 2, ms);
    if ((polled[0].revents & POLLIN) && read(signals, &info, sizeof info) < 0)
        exit(2);
    if (polled[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
        *input_ends = true;
}

int main(int argc, char **argv)
{
    bool input_ends = false, ready = false, quiet = false;
    sigset_t set;

    if (argc < 3) {
        fputs(usage, stderr);
        return 2;
    }
    keeper = atoi(argv[1]);
    next_target = argv + 2;
    take_target();
    alarm(PATIENCE);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (attach() < 0) {
        perror("killat");
        return 1;
    }
    for (;;) {
        bool any = handle_events();
        if (ready && !armed)
            return 0; /* who is traced goes on when we end */
        if (!any && quiet && is_idle()) {
            if (!ready) {
                ready = armed = true;
                puts("ready");
                fflush(stdout);
            } else if (input_ends) {
                printf("alive %ld\n", points);
                return 0;
            }
        }
        if (!any && quiet && stepping.tid)
            do_kill(stepping.side, stepping.call); /* it waits for something */
        quiet = !any;
        if (!any)
            wait_event(signals, &input_ends, QUIET);
    }
}
