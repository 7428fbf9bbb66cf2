/* The beginning and ends of processes, and what children leave. fork needs no hook: see self.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drafts.h"
#include "ending.h"
#include "handover.h"
#include "inside.h"
#include "real.h"
#include "self.h"

/* Not a function that programs know of: their first instructions call it. */
SS_EXPORT int __libc_start_main(int (*begin)(int, char **, char **), int count, char **arguments, void (*init)(void),
                                void (*fini)(void), void (*loader_fini)(void), void *stack_end)
{
    if (ss_active)
        ss_handover_take();
    return ss_real()->__libc_start_main(begin, count, arguments, init, fini, loader_fini, stack_end);
}

/* A fork that no atfork handler hears of. It is for signal handlers: those may have interrupted a hook of their own
 * thread, but not while that had the table's lock. */
SS_EXPORT pid_t _Fork(void)
{
    if (!ss_real()->_Fork)
        return fork(); /* glibc before 2.34 */
    if (!ss_active)
        return ss_real()->_Fork();
    ss_self_before_fork();
    pid_t pid = ss_real()->_Fork();
    int error = errno;
    if (pid == 0)
        ss_self_in_child();
    else
        ss_self_after_fork();
    errno = error;
    return pid;
}

SS_EXPORT void _exit(int status)
{
    if (!ss_inside())
        ss_ending_exit(status & 0xff);
    ss_real()->_exit(status);
    __builtin_unreachable();
}

SS_EXPORT void _Exit(int status)
{
    SS_HOOK(_exit(status));
}

/* The C library ends the parent without a word. */
static int become_daemon(int nochdir, int noclose)
{
    pid_t pid = SS_HOOK(fork());
    if (pid < 0)
        return -1;
    if (pid > 0)
        SS_HOOK(_exit(0));
    if (setsid() < 0)
        return -1;
    if (!nochdir && chdir("/") < 0)
        return -1;
    if (noclose)
        return 0;
    int null = ss_real()->openat(AT_FDCWD, "/dev/null", O_RDWR);
    if (null < 0)
        return -1;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (SS_HOOK(dup2(null, fd)) < 0)
            return -1;
    if (null > STDERR_FILENO)
        ss_real()->close(null);
    return 0;
}

SS_EXPORT int daemon(int nochdir, int noclose)
{
    if (!ss_active || ss_inside() || !ss_drafts_any())
        return ss_real()->daemon(nochdir, noclose);
    return become_daemon(nochdir, noclose);
}

/* Its handlers run between here and the end: ours, registered first, is the last of them. */
SS_EXPORT void quick_exit(int status)
{
    ss_ending_quickly(status & 0xff);
    ss_real()->quick_exit(status);
    __builtin_unreachable();
}

/* A child that we waited for, and that has ended. */
static void note(int status)
{
    if (!ss_active || ss_inside() || !ss_drafts_any() || !(WIFEXITED(status) || WIFSIGNALED(status)))
        return;
    SS_INSIDE;
    if (ss_self_may_remember())
        ss_ending_of_child(status);
}

SS_EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    int own = 0;
    int *at = status ? status : &own; /* a bad pointer is for the kernel to find */

    pid_t r = ss_real()->wait4(pid, at, options, usage);
    if (r > 0)
        note(*at);
    return r;
}

SS_EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
    int own = 0;
    int *at = status ? status : &own; /* a bad pointer is for the kernel to find */

    pid_t r = ss_real()->waitpid(pid, at, options);
    if (r > 0)
        note(*at);
    return r;
}

SS_EXPORT pid_t __waitpid(pid_t pid, int *status, int options);
SS_EXPORT pid_t __waitpid(pid_t pid, int *status, int options)
{
    return SS_HOOK(waitpid(pid, status, options));
}

SS_EXPORT pid_t wait(int *status)
{
    return SS_HOOK(waitpid(-1, status, 0));
}

SS_EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
    return SS_HOOK(wait4(-1, status, options, usage));
}

SS_EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    siginfo_t own = {0};
    siginfo_t *at = info ? info : &own;

    int r = ss_real()->waitid(type, id, at, options);
    siginfo_t here = {0};
    if (r == 0)
        here = *at;
    if (r == 0 && here.si_pid > 0 &&
        (here.si_code == CLD_EXITED || here.si_code == CLD_KILLED || here.si_code == CLD_DUMPED))
        note(here.si_code == CLD_EXITED ? W_EXITCODE(here.si_status & 0xff, 0) : W_EXITCODE(0, here.si_status & 0x7f));
    return r;
}
