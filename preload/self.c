#include "self.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "begin.h"
#include "crypto.h"
#include "drafts.h"
#include "ending.h"
#include "handover.h"
#include "inside.h"
#include "judge.h"
#include "real.h"
#include "roots.h"
#include "spawning.h"
#include "core/compat.h"
#include "core/proc.h"
#include "core/util.h"

#define STATUS_REFUSED 126 /* what shells use for "can not be executed" */

bool ss_active;
_Thread_local unsigned ss_inside_depth __attribute__((tls_model("initial-exec")));

/* Which process the memory belongs to. The page is wiped by every fork that copies memory, also by one that no atfork
 * handler hears of (clone); a child of vfork sees its parent's. */
static struct {
    pid_t pid;
} * identity;

/* Who writes, made at the first draft. Guarded by the table's lock. */
static struct ss_draft_record writer; /* pid 0: not made yet */

static bool reports;
static const char *library = "";

/* The C library does not know its environment yet when we begin. */
static const char *get(char **environment, const char *name)
{
    size_t len = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

static bool has_value(char **environment, const char *name, const char *wanted)
{
    const char *value = get(environment, name);
    return value && strcmp(value, wanted) == 0;
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    char text[512] = "saveseal: ";
    size_t begun = strlen(text);

    int n = vsnprintf(text + begun, sizeof text - begun - 1, format, arguments);
    size_t len = n < 0 ? begun : begun + (size_t)n;
    if (len > sizeof text - 2)
        len = sizeof text - 2;
    text[len++] = '\n';
    if (write(STDERR_FILENO, text, len) < 0)
        return; /* nobody to tell it to */
}

bool ss_self_reports(void)
{
    return reports;
}

const char *ss_self_library(void)
{
    return library;
}

void ss_self_report(const char *format, ...)
{
    va_list arguments;

    if (!reports)
        return;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void ss_self_complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

bool ss_self_may_remember(void)
{
    pid_t pid = getpid();

    if (identity->pid == 0)
        identity->pid = pid; /* a fork that copied the memory */
    return identity->pid == pid;
}

void ss_self_describe(struct ss_draft_record *record)
{
    uint64_t start = 0;
    pid_t pid = getpid();

    ss_drafts_lock();
    *record = writer;
    ss_drafts_unlock();
    if (record->pid != pid) {
        memset(record, 0, sizeof *record);
        if (ss_proc_start(pid, &start) < 0)
            start = 0;
        ss_draft_describe_writer(record, pid, start);
        ss_drafts_lock();
        writer = *record;
        ss_drafts_unlock();
    }
    record->opened = time(NULL);
}

/* Where hidden descriptors begin: of the numbers that the limit allows, the last quarter. Looked up when first needed,
 * and again when there is none to be had there. Not beyond HIGHEST: the kernel's table of descriptors goes up to the
 * highest one, is copied by each fork, and gone through by us. */
#define HIGHEST 16384
static _Atomic int hidden_from;

static int first_hidden(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = 1024;
    rlim_t most = limit.rlim_cur < HIGHEST ? limit.rlim_cur : HIGHEST;
    return (int)(most - most / 4);
}

static int duplicate(int fd, int from)
{
    int hidden = fcntl(fd, F_DUPFD_CLOEXEC, from);

    if (hidden < SS_FDS_MAX)
        return hidden;
    close(hidden);
    errno = EMFILE;
    return -1;
}

int ss_self_hide_fd(int fd)
{
    int from = atomic_load_explicit(&hidden_from, memory_order_relaxed);

    int hidden = from ? duplicate(fd, from) : -1;
    if (hidden < 0) { /* the first, or the limit went down */
        from = first_hidden();
        atomic_store_explicit(&hidden_from, from, memory_order_relaxed);
        hidden = duplicate(fd, from);
    }
    if (hidden < 0)
        hidden = duplicate(fd, 0); /* all up there are taken */
    int error = errno;
    close(fd);
    return hidden < 0 ? -error : hidden;
}

/* The table is whole and unlocked in the child: whoever held the lock in another thread has let it go. */
void ss_self_before_fork(void)
{
    bool loads = ss_inside(); /* perhaps: in a handler that has interrupted it, to wait would be in vain */
    SS_INSIDE;
    ss_crypto_before_fork(!loads);
    ss_drafts_lock();
    ss_drafts_before_fork();
    ss_spawn_before_fork();
}

void ss_self_after_fork(void)
{
    SS_INSIDE;
    ss_spawn_after_fork();
    ss_drafts_unlock();
    ss_crypto_after_fork();
}

void ss_self_in_child(void)
{
    SS_INSIDE;
    identity->pid = getpid();
    ss_drafts_in_child();
    ss_begin_in_child();
    ss_spawn_in_child();
    ss_drafts_unlock();
    ss_crypto_in_child();
}

static int set_up(void)
{
    identity = mmap(NULL, sizeof *identity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (identity == MAP_FAILED || madvise(identity, sizeof *identity, MADV_WIPEONFORK) < 0)
        return -errno;
    identity->pid = getpid();
    int r = ss_drafts_init();
    if (r == 0)
        r = -pthread_atfork(ss_self_before_fork, ss_self_after_fork, ss_self_in_child);
    if (r == 0)
        r = ss_ending_init();
    return r;
}

/* A word that is not known may have been meant to protect. */
static int check_settings(char **environment, char *why, size_t size)
{
    static const struct {
        const char *name, *plain, *other;
    } settings[] = {{"SAVESEAL_COMMIT", "close", "exit"}, {"SAVESEAL_FORMAT", "any", "libvirt"}};

    for (size_t i = 0; i < SS_ARRAY_SIZE(settings); i++) {
        const char *value = get(environment, settings[i].name);
        if (!value || !*value || strcmp(value, settings[i].plain) == 0 || strcmp(value, settings[i].other) == 0)
            continue;
        snprintf(why, size, "%s is %s or %s", settings[i].name, settings[i].plain, settings[i].other);
        return -EINVAL;
    }
    return 0;
}

/* The library is marked to be initialised first (meson.build), so that our exit handler is the last to run. */
__attribute__((constructor)) static void begin(int argc, char **argv, char **environment)
{
    const char *dirs = get(environment, "SAVESEAL_DIRS");
    Dl_info own;
    char why[512] = "";

    (void)argc;
    (void)argv;
    SS_INSIDE;
    ss_real(); /* until now, some were system calls: see early.h */
    if (!dirs || !dirs[0])
        return;
    reports = has_value(environment, "SAVESEAL_REPORT", "1");
    if (dladdr(&reports, &own))
        library = own.dli_fname;
    int r = check_settings(environment, why, sizeof why);
    if (r == 0)
        r = ss_roots_init(dirs, why, sizeof why);
    if (r > 0) { /* so many are to be protected here */
        r = set_up();
        if (r < 0)
            snprintf(why, sizeof why, "can not be set up: %s", strerrordesc_np(-r));
    } else if (r == 0) {
        return; /* each is on a mount of savesealfs, or not to be found */
    }
    if (r < 0) {
        ss_self_complain("%s", why);
        if (has_value(environment, "SAVESEAL_PERMISSIVE", "1"))
            return;
        ss_self_complain("not started unprotected; SAVESEAL_PERMISSIVE=1 would");
        ss_real()->_exit(STATUS_REFUSED);
    }
    if (has_value(environment, "SAVESEAL_COMMIT", "exit"))
        ss_drafts_commit_at_exit();
    if (has_value(environment, "SAVESEAL_FORMAT", "libvirt"))
        ss_judge_need_mark();
    ss_active = true;
    int handed_on = ss_drafts_inherit();
    if (handed_on >= 0)
        ss_handover_found(handed_on);
}
