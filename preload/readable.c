#include "readable.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "real.h"
#include "core/compat.h"

#define PAGE 4096UL /* the smallest there is: a larger one is only asked for more often */
#define KNOWN_PAGES 64

/* Pages that could be read when the kernel was last asked: their numbers, each at its place. A system call for every
 * path would be a tenth of a stat. */
static _Atomic uintptr_t known[KNOWN_PAGES];

/* The kernel reads the set of signals before it finds that it does not know what to do with it, and changes nothing. */
static bool ask(uintptr_t page)
{
    const int no_such_change = -1;
    int saved = errno;

    long r = ss_real()->syscall(SYS_rt_sigprocmask, no_such_change, page * PAGE, NULL, 8L);
    bool bad = r < 0 && errno == EFAULT;
    errno = saved;
    return !bad;
}

static bool is_readable(uintptr_t page)
{
    _Atomic uintptr_t *place = &known[page % KNOWN_PAGES];

    if (page == 0)
        return false; /* the empty place in known */
    if (atomic_load_explicit(place, memory_order_relaxed) == page)
        return true;
    if (!ask(page))
        return false;
    atomic_store_explicit(place, page, memory_order_relaxed);
    return true;
}

void ss_readable_forget(void)
{
    for (size_t i = 0; i < KNOWN_PAGES; i++)
        atomic_store_explicit(&known[i], 0, memory_order_relaxed);
}

bool ss_readable_path(const char *path)
{
    for (size_t len = 0; len < PATH_MAX;) {
        uintptr_t at = (uintptr_t)path + len;
        size_t here = PAGE - at % PAGE;
        if (!is_readable(at / PAGE))
            return false;
        if (here > PATH_MAX - len)
            here = PATH_MAX - len;
        if (memchr(path + len, '\0', here))
            return true;
        len += here;
    }
    return false;
}

bool ss_readable(const void *start, size_t bytes)
{
    uintptr_t first = (uintptr_t)start, last = first + (bytes > 0 ? bytes - 1 : 0);

    if (last < first)
        return false;
    for (uintptr_t page = first / PAGE; page <= last / PAGE; page++)
        if (!is_readable(page))
            return false;
    return true;
}
