/* The exec family. What stays open the next program finds by itself (drafts.h), what exec closes is handed on to it
 * (handover.h); that it starts without the library is told. */
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "child.h"
#include "handover.h"
#include "inside.h"
#include "readable.h"
#include "real.h"
#include "core/compat.h"

static int before(const char *program, bool by_path, char *const environment[])
{
    ss_child_starts(program, by_path, environment);
    return ss_handover_before(program, by_path, environment);
}

/* exec has failed. */
static int after(int handed, int r)
{
    ss_handover_failed(handed);
    return r;
}

SS_EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    int handed = before(path, false, environment);
    return after(handed, ss_real()->execve(path, arguments, environment));
}

SS_EXPORT int execv(const char *path, char *const arguments[])
{
    return SS_HOOK(execve(path, arguments, environ));
}

SS_EXPORT int execvpe(const char *file, char *const arguments[], char *const environment[])
{
    int handed = before(file, true, environment);
    return after(handed, ss_real()->execvpe(file, arguments, environment));
}

SS_EXPORT int execvp(const char *file, char *const arguments[])
{
    return SS_HOOK(execvpe(file, arguments, environ));
}

SS_EXPORT int fexecve(int fd, char *const arguments[], char *const environment[])
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int handed = before(path, false, environment);
    return after(handed, ss_real()->fexecve(fd, arguments, environment));
}

SS_EXPORT int execveat(int dirfd, const char *path, char *const arguments[], char *const environment[], int flags)
{
    char by_fd[32 + PATH_MAX];
    const char *program = path;

    if (dirfd != AT_FDCWD && ss_readable_path(path) && path[0] != '/') {
        snprintf(by_fd, sizeof by_fd, path[0] ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d%s", dirfd, path);
        program = by_fd;
    }
    int handed = before(program, false, environment);
    return after(handed, (int)ss_real()->syscall(SYS_execveat, dirfd, path, arguments, environment,
                                                 flags)); /* glibc 2.34 has it */
}

/* Arguments that stand one by one, up to a NULL, are counted and then put in a row. */
static size_t count(va_list arguments)
{
    size_t n = 1; /* the first is named */

    while (va_arg(arguments, char *))
        n++;
    return n;
}

static void collect(char **row, const char *first, va_list *arguments)
{
    *row++ = (char *)first;
    do
        *row = va_arg(*arguments, char *);
    while (*row++);
}

/* The row is on the stack: a child of vfork must not allocate. */
#define LISTED(hook, execute, environment_of)                                                                          \
    SS_EXPORT int hook(const char *path, const char *first, ...)                                                       \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, first);                                                                                    \
        size_t n = count(arguments);                                                                                   \
        va_end(arguments);                                                                                             \
        char **row = __builtin_alloca((n + 1) * sizeof *row);                                                          \
        va_start(arguments, first);                                                                                    \
        collect(row, first, &arguments);                                                                               \
        char *const *environment = environment_of;                                                                     \
        va_end(arguments);                                                                                             \
        return SS_HOOK(execute(path, row, environment));                                                               \
    }

LISTED(execl, execve, environ)
LISTED(execlp, execvpe, environ)
LISTED(execle, execve, va_arg(arguments, char *const *))
