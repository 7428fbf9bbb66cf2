/* dup and its kind: one more descriptor of a draft, or one less. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "drafts.h"
#include "ending.h"
#include "inside.h"
#include "real.h"
#include "self.h"
#include "core/compat.h"

/* made is a duplicate of fd, or -1. */
static int note_duplicate(int fd, int made)
{
    int saved = errno;

    if (made < 0 || !ss_fd_is_ours(fd) || ss_inside())
        return made;
    SS_INSIDE;
    if (!ss_self_may_remember())
        return made;
    SS_AUTO_PUT struct ss_held *held = ss_drafts_of_fd(fd);
    if (held && ss_drafts_bind(held, made) < 0) {
        ss_real()->close(made);
        made = -1;
        saved = EMFILE;
    }
    errno = saved;
    return made;
}

SS_EXPORT int dup(int fd)
{
    return note_duplicate(fd, ss_real()->dup(fd));
}

/* A hidden descriptor makes way for a program that wants its number. */
static int make_way(int fd)
{
    return ss_fd_is_hidden(fd) ? ss_drafts_move(fd) : 0;
}

static int duplicate_to(int fd, int to, int flags, int (*real)(int fd, int to, int flags))
{
    if (ss_inside() || fd == to || (!ss_fd_is_ours(fd) && !ss_fd_is_ours(to)))
        return real(fd, to, flags);
    SS_INSIDE;
    if (!ss_self_may_remember())
        return real(fd, to, flags);
    int r = make_way(to);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    SS_AUTO_PUT struct ss_held *new = ss_drafts_of_fd(fd);
    SS_AUTO_PUT struct ss_held *old = ss_drafts_of_fd(to);
    r = real(fd, to, flags);
    int saved = errno;
    if (r >= 0 && old)
        ss_drafts_unbind(to);
    if (r >= 0 && new)
        ss_drafts_bind(new, to);
    if (r >= 0 && old && old != new)
        ss_ending_closed(old, 0); /* dup2 has no way to say that this failed: the draft's record has */
    errno = saved;
    return r;
}

static int real_dup2(int fd, int to, int flags)
{
    (void)flags;
    return ss_real()->dup2(fd, to);
}

static int real_dup3(int fd, int to, int flags)
{
    return ss_real()->dup3(fd, to, flags);
}

SS_EXPORT int dup2(int fd, int to)
{
    return duplicate_to(fd, to, 0, real_dup2);
}

SS_EXPORT int __dup2(int fd, int to);
SS_EXPORT int __dup2(int fd, int to)
{
    return duplicate_to(fd, to, 0, real_dup2);
}

SS_EXPORT int dup3(int fd, int to, int flags)
{
    return duplicate_to(fd, to, flags, real_dup3);
}

/* A copy of another process's descriptor. C libraries before 2.36 do not have it. */
SS_EXPORT int pidfd_getfd(int pidfd, int fd, unsigned flags);
SS_EXPORT int pidfd_getfd(int pidfd, int fd, unsigned flags)
{
    int made = (int)ss_real()->syscall(SYS_pidfd_getfd, pidfd, fd, flags);

    if (made >= 0 && ss_active && !ss_inside() && ss_self_may_remember()) {
        SS_INSIDE;
        ss_drafts_recognise(made);
    }
    return made;
}

/* Whatever the command takes, it fits into a pointer. */
static int control(int fd, int command, void *argument)
{
    int r = ss_real_or_early()->fcntl(fd, command, argument);

    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? note_duplicate(fd, r) : r;
}

#define FCNTL(name)                                                                                                    \
    SS_EXPORT int name(int fd, int command, ...);                                                                      \
    SS_EXPORT int name(int fd, int command, ...)                                                                       \
    {                                                                                                                  \
        va_list arguments;                                                                                             \
        va_start(arguments, command);                                                                                  \
        void *argument = va_arg(arguments, void *);                                                                    \
        va_end(arguments);                                                                                             \
        return control(fd, command, argument);                                                                         \
    }

FCNTL(fcntl)
FCNTL(fcntl64)
