/* spawner WHAT DIR: programs that have posix_spawn open files in DIR for a child. Says what came of it on the standard
 * output, the same in a protected directory and elsewhere. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20
#define MAKE (O_WRONLY | O_CREAT | O_TRUNC)

static const char *dir;

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    _exit(1);
}

static const char *in_dir(const char *name, char buf[4096])
{
    snprintf(buf, 4096, "%s/%s", dir, name);
    return buf;
}

static int end_of(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Returns the status of wait(2), or minus what posix_spawn says. */
static int shell(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, const char *command)
{
    const char *arguments[] = {"sh", "-c", command, NULL};
    pid_t pid;

    int error = posix_spawnp(&pid, "sh", actions, attributes, (char **)arguments, environ);
    return error ? -error : end_of(pid);
}

/* One list for several children, also by a copy of it, and destroyed and made anew. */
static void reuse(void)
{
    posix_spawn_file_actions_t actions, copy;
    char path[4096];

    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addclose(&actions, 1), "addclose");
    must(posix_spawn_file_actions_addopen(&actions, 5, in_dir("reuse", path), MAKE, 0600), "addopen");
    must(posix_spawn_file_actions_adddup2(&actions, 5, 1), "adddup2");
    must(posix_spawn_file_actions_addclose(&actions, 5), "addclose");
    strcpy(path, "changed: the list has its own copy");
    printf("%d\n", shell(&actions, NULL, "echo first"));
    printf("%d\n", shell(&actions, NULL, "echo second; kill -KILL $$"));
    memcpy(&copy, &actions, sizeof copy);
    printf("%d\n", shell(&copy, NULL, "echo third; ls -l /proc/self/fd | grep -c ' 5 ->' >&2; true"));
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", MAKE, 0600), "addopen");
    printf("%d\n", shell(&actions, NULL, "echo nowhere"));
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
}

/* Names that count from where the child has gone. */
static void elsewhere(void)
{
    posix_spawn_file_actions_t actions;

    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addchdir_np(&actions, dir), "addchdir");
    must(posix_spawn_file_actions_addopen(&actions, 1, "elsewhere", MAKE, 0600), "addopen");
    must(posix_spawn_file_actions_addopen(&actions, 6, "/", O_RDONLY, 0), "addopen");
    must(posix_spawn_file_actions_addfchdir_np(&actions, 6), "addfchdir");
    int (*closefrom)(posix_spawn_file_actions_t *, int);
    *(void **)&closefrom = dlsym(RTLD_DEFAULT, "posix_spawn_file_actions_addclosefrom_np");
    if (closefrom)
        must(closefrom(&actions, 3), "addclosefrom");
    printf("%d\n", shell(&actions, NULL,
                         "pwd; for fd in 0 1 2 3 4 5 6 700; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; true"));
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
}

static int try_to(const char *name, const char *program, int fd, int flags)
{
    posix_spawn_file_actions_t actions;
    char path[4096];
    const char *arguments[] = {"program", NULL};
    pid_t pid = 4711;

    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_adddup2(&actions, fd, 7), "adddup2");
    must(posix_spawn_file_actions_addopen(&actions, 1, in_dir(name, path), flags, 0600), "addopen");
    int error = posix_spawn(&pid, program, &actions, NULL, (char **)arguments, environ);
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
    if (error == 0)
        end_of(pid);
    else
        must(pid != 4711, "the child's number was written");
    return error;
}

/* What fails is told, and leaves no child. */
static void fail(void)
{
    struct rlimit limit = {.rlim_cur = 600, .rlim_max = 600};

    must(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    for (int fd = 0; fd < 600;
         fd++) /* whatever the number of the pipe that the child tells us by: it is not open here */
        if (try_to("empty", "/bin/true", fd, MAKE) != (fd > 2 ? EBADF : 0))
            printf("%d\n", fd);
    printf("%s\n", strerror(try_to("fail", "/nothing", 0, MAKE)));
    printf("%s\n", strerror(try_to("fail", dir, 0, MAKE)));
    printf("%s\n", strerror(try_to("nothing/fail", "/bin/true", 0, MAKE)));
    printf("%s\n", strerror(try_to("new", "/bin/true", 0, MAKE | O_EXCL)));
    printf("%s\n", strerror(try_to("new", "/bin/true", 0, MAKE | O_EXCL)));
    printf("%s\n", waitpid(-1, NULL, 0) < 0 ? strerror(errno) : "a child is left");
}

static void ignore(int signal)
{
    (void)signal;
}

/* The last 16 signals: the C library ignores some of its own in the child. */
static void tell_attributes(const char *name, const posix_spawnattr_t *attributes)
{
    posix_spawn_file_actions_t actions;
    char path[4096];

    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addopen(&actions, 1, in_dir(name, path), MAKE, 0600), "addopen");
    printf("%d\n", shell(&actions, attributes,
                         "sed -n -E 's/^(Sig[BIC].*:).*(....)$/\\1 \\2/p' /proc/self/status;"
                         "[ \"$(ps -o sid= $$)\" -eq $$ ] && echo leads a session;"
                         "[ \"$(ps -o pgid= $$)\" -eq $$ ] && echo leads a group; ps -o cls= $$"));
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
}

/* Attributes, as the child finds them. */
static void attributes(void)
{
    posix_spawnattr_t attributes;
    sigset_t set;
    const struct sched_param parameter = {0};

    signal(SIGUSR1, ignore);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    must(posix_spawnattr_init(&attributes), "attr_init");
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    tell_attributes("attributes.1", NULL);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP |
                                              POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_RESETIDS);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_BATCH);
    posix_spawnattr_setschedparam(&attributes, &parameter);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigaddset(&set, SIGALRM);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attributes, &set);
    tell_attributes("attributes.2", &attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    tell_attributes("attributes.3", &attributes);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    printf("%d %d\n", sigismember(&set, SIGQUIT), sigismember(&set, SIGALRM));
}

static void *spawn_often(void *name)
{
    posix_spawn_file_actions_t actions;
    char path[4096];

    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addopen(&actions, 1, in_dir(name, path), MAKE, 0600), "addopen");
    for (int i = 0; i < ROUNDS; i++)
        must(-shell(&actions, NULL, "echo spawned"), "a child");
    must(posix_spawn_file_actions_destroy(&actions), "destroy");
    return NULL;
}

static pid_t stayers[5 * ROUNDS];

/* Children that stay, and have what was open when they were made. */
static void *fork_often(void *nothing)
{
    for (int i = 0; i < 5 * ROUNDS; i++) {
        stayers[i] = fork();
        if (stayers[i] == 0)
            for (;;)
                pause();
        usleep(1000);
    }
    return nothing;
}

static void together(void)
{
    static char names[][16] = {"together.1", "together.2", "together.3"};
    pthread_t threads[4];

    for (int i = 0; i < 3; i++)
        must(pthread_create(&threads[i], NULL, spawn_often, names[i]), "pthread_create");
    must(pthread_create(&threads[3], NULL, fork_often, NULL), "pthread_create");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 5 * ROUNDS; i++)
        kill(stayers[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
}

/* With a descriptor of the child (glibc 2.39; on older ones the library brings it). */
static void with_fd(void)
{
    const char *arguments[] = {"sh", "-c", "echo $0", "spawned", NULL};
    posix_spawn_file_actions_t actions;
    char path[4096];
    siginfo_t info;
    int fd;

    int (*spawn)(int *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                 char *const[]);
    *(void **)&spawn = dlsym(RTLD_DEFAULT, "pidfd_spawnp");
    must(spawn ? 0 : ENOSYS, "pidfd_spawnp");
    must(posix_spawn_file_actions_init(&actions), "init");
    must(posix_spawn_file_actions_addopen(&actions, 1, in_dir("pidfd", path), MAKE, 0600), "addopen");
    must(spawn(&fd, "sh", &actions, NULL, (char **)arguments, environ), "pidfd_spawnp");
    must(waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &info, WEXITED), "waitid");
    must(spawn(&fd, "true", NULL, NULL, (char **)arguments, environ), "pidfd_spawnp");
    must(waitid((idtype_t)3, (id_t)fd, &info, WEXITED), "waitid");
    printf("%d %d\n", info.si_code, info.si_status);
}

static const struct {
    const char *name;
    void (*run)(void);
} programs[] = {
    {"reuse", reuse},           {"elsewhere", elsewhere}, {"fail", fail},
    {"attributes", attributes}, {"together", together},   {"pidfd", with_fd},
};

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    dir = argc > 2 ? argv[2] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(what, programs[i].name) == 0) {
            programs[i].run();
            return 0;
        }
    }
    return 2;
}
