/* close and what closes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "drafts.h"
#include "ending.h"
#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "core/compat.h"

static int close_one(int fd)
{
    if (!ss_fd_is_ours(fd))
        return ss_real_or_early()->close(fd);
    if (ss_inside()) {
        if (!ss_fd_is_hidden(fd))
            ss_ending_missed();
        return ss_real()->close(fd);
    }
    if (ss_fd_is_hidden(fd)) { /* programs that close everything do not mean it: they do not know of it */
        errno = EBADF;
        return -1;
    }
    return ss_ending_close(fd);
}

SS_EXPORT int close(int fd)
{
    return close_one(fd);
}

SS_EXPORT int __close(int fd);
SS_EXPORT int __close(int fd)
{
    return close_one(fd);
}

static int plain_range(unsigned first, unsigned last, int flags)
{
    return (int)ss_real()->syscall(SYS_close_range, first, last, flags);
}

/* Ours one by one, what is between them in one go. */
static int close_between(unsigned first, unsigned last, int flags)
{
    int r = 0;

    for (int fd; r == 0 && first <= last && (fd = ss_fd_next(first, last)) >= 0; first = (unsigned)fd + 1) {
        if ((unsigned)fd > first)
            r = plain_range(first, (unsigned)fd - 1, flags);
        if (r == 0 && !ss_fd_is_hidden(fd))
            ss_ending_close(fd);
    }
    return r < 0 || first > last ? r : plain_range(first, last, flags);
}

SS_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (!ss_active || ss_inside() || first > last || ((unsigned)flags & ~CLOSE_RANGE_UNSHARE) ||
        !ss_self_may_remember())
        return plain_range(first, last, flags);
    if ((unsigned)flags & CLOSE_RANGE_UNSHARE) {
        int r = plain_range(~0U, ~0U, flags);
        if (r < 0)
            return r;
    }
    return close_between(first, last, 0);
}

/* Before Linux 5.9. */
static void close_one_by_one(unsigned first)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    for (rlim_t fd = first; fd < limit.rlim_cur && fd <= INT_MAX; fd++)
        SS_HOOK(close((int)fd));
}

SS_EXPORT void closefrom(int first)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;

    if (SS_HOOK(close_range(from, ~0U, 0)) < 0)
        close_one_by_one(from);
}

/* A mapping may outlive its descriptor: its end is a close. */
SS_EXPORT int munmap(void *address, size_t len)
{
    int r = ss_real_or_early()->munmap(address, len);

    ss_readable_forget();
    if (r == 0 && ss_drafts_any() && !ss_inside()) {
        SS_INSIDE;
        if (ss_self_may_remember())
            ss_ending_unmapped();
    }
    return r;
}
