#include "trim.h"

#include <linux/fuse.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "save.h"

#define BATCH 8192u

struct name {
    fuse_ino_t parent;
    char text[NAME_MAX + 1];
};

static bool is_scarce(const struct ss_fs *fs)
{
    return ss_pool_count(&fs->nodes) > fs->node_limit;
}

void ss_trim_notice(struct ss_fs *fs)
{
    if (fs->finished > fs->node_limit / 8 || is_scarce(fs))
        atomic_store(&fs->trim_wanted, true);
}

bool ss_trim_wanted(struct ss_fs *fs)
{
    return atomic_load(&fs->trim_wanted) && atomic_exchange(&fs->trim_wanted, false);
}

/* With tables held: the name under which the kernel knows an idle node. */
static bool idle_name(struct ss_fs *fs, struct ss_node *node, bool scarce, struct name *name)
{
    if (node->nlookup == 0 || node->refs > 0)
        return false;
    if (node->kind == SS_NODE_SAVE) {
        const struct ss_save *save = ss_save_at(fs, node->save);
        name->parent = ss_node_id(ss_save_where(save)->dir);
        memcpy(name->text, ss_save_where(save)->target, sizeof name->text);
        return true;
    }
    if (node->kind != SS_NODE_IMAGE || !scarce)
        return false;
    name->parent = ss_node_id(ss_node_key(node)->dir);
    memcpy(name->text, ss_node_key(node)->name, sizeof name->text);
    return true;
}

/* Where the next batch of names begins. The main thread's. */
static uint32_t at = SS_ROOT_NODE + 1;

/* Collects names, going on where it stopped the last time. */
static size_t collect(struct ss_fs *fs, struct name names[BATCH])
{
    size_t count = 0;

    pthread_mutex_lock(&fs->tables);
    bool scarce = is_scarce(fs);
    for (; at < *fs->nodes.used && count < BATCH; at++)
        count += idle_name(fs, ss_pool_at(&fs->nodes, at), scarce, &names[count]);
    if (count < BATCH) {
        at = SS_ROOT_NODE + 1;
        fs->finished = 0;
    }
    pthread_mutex_unlock(&fs->tables);
    return count;
}

bool ss_trim_goes_on(void)
{
    return at != SS_ROOT_NODE + 1;
}

static void tell(int session, const struct name *name)
{
    struct fuse_notify_inval_entry_out entry = {.parent = name->parent, .namelen = (uint32_t)strlen(name->text)};
    struct fuse_out_header header = {.error = FUSE_NOTIFY_INVAL_ENTRY};
    struct iovec iov[] = {{&header, sizeof header}, {&entry, sizeof entry}, {(char *)name->text, entry.namelen + 1}};

    header.len = (uint32_t)(sizeof header + sizeof entry + entry.namelen + 1);
    syscall(SYS_writev, session, iov, SS_ARRAY_SIZE(iov)); /* nothing of the C library: see ss_trim */
}

/* The kernel waits for the directory's lock, and whoever has it may wait for an answer of ours. Should this worker die
 * meanwhile, its successor must be able to start and give it; but a process ends only when its last thread does, and a
 * thread that waits so can't. So a process of its own waits. It is a copy of this one, without its other threads: it
 * may only do system calls. */
void ss_trim(struct ss_fs *fs)
{
    struct clone_args arguments = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
    static pid_t helper;

    if (helper > 0 && waitpid(helper, NULL, WNOHANG) == 0)
        return; /* it is still at it */
    helper = 0;
    SS_AUTO_FREE struct name *names = malloc(BATCH * sizeof *names);
    size_t count = names ? collect(fs, names) : 0;
    if (count == 0)
        return;
    helper = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (helper != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t n = 0; n < count; n++)
        tell(fs->shared->session, &names[n]);
    syscall(SYS_exit_group, 0);
}
