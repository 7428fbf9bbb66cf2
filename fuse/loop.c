#include "loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "cred.h"
#include "judge.h"
#include "log.h"
#include "save.h"
#include "settle.h"
#include "trim.h"

#define THREADS_MAX 256
#define IDLE_MAX 8 /* more waiting threads than this are let go */
#define SWEEP_SECONDS 2

struct loop {
    struct fuse_session *session;
    struct ss_fs *fs;
    pthread_mutex_t receive; /* held while a request is read; see loop.h */

    pthread_mutex_t lock; /* order: after receive. Guards: */
    pthread_cond_t ended;
    unsigned threads; /* alive */
    unsigned idle;    /* of those, reading or waiting to read */
    int error;        /* the first -errno that ended a thread */
    bool over;        /* the session has ended */
    bool any_left;    /* left is a thread that has ended and is yet to be joined */
    pthread_t left;
};

static void *serve(void *context);

/* With lock held. */
static int start_thread(struct loop *loop)
{
    pthread_t thread = 0;

    int r = pthread_create(&thread, NULL, serve, loop);
    if (r == 0) {
        loop->threads++;
        loop->idle++;
    }
    return -r;
}

/* A request was read: see that somebody can read the next one. */
static void leave_idle(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->idle--;
    if (loop->idle == 0 && loop->threads < THREADS_MAX)
        start_thread(loop); /* if that fails, the threads that are busy come back */
    pthread_mutex_unlock(&loop->lock);
}

/* Returns false when there are idle threads enough. */
static bool enter_idle(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool stay = loop->idle < IDLE_MAX;
    loop->idle += stay;
    pthread_mutex_unlock(&loop->lock);
    return stay;
}

static bool is_release(const struct fuse_buf *buf)
{
    const struct fuse_in_header *header = buf->mem;
    return !(buf->flags & FUSE_BUF_IS_FD) && buf->size >= sizeof *header && header->opcode == FUSE_RELEASE;
}

/* Reads one request and handles it. Returns 0, or what ends the loop: -ENODEV when unmounted. */
static int serve_one(struct loop *loop, struct fuse_buf *buf)
{
    pthread_mutex_lock(&loop->receive);
    int n = fuse_session_exited(loop->session) ? 0 : fuse_session_receive_buf(loop->session, buf);
    if (n == -EINTR || n == -EAGAIN) {
        pthread_mutex_unlock(&loop->receive);
        return 0;
    }
    if (n <= 0) {
        pthread_mutex_unlock(&loop->receive);
        return n == 0 ? -ENODEV : n;
    }
    leave_idle(loop);
    bool release = is_release(buf);
    if (release)
        fuse_session_process_buf(loop->session, buf);
    pthread_mutex_unlock(&loop->receive);
    if (!release)
        fuse_session_process_buf(loop->session, buf);
    while (ss_judge_deferred(loop->fs))
        continue;
    ss_fs_close_pending(loop->fs);
    if (ss_trim_wanted(loop->fs))
        kill(getpid(), SIGUSR2); /* the main thread does it */
    return 1;
}

/* Each thread that ends joins the one that ended before it; the main thread joins the last. After the unlock nothing of
 * loop is touched. */
static void end_thread(struct loop *loop, int error, bool was_idle)
{
    pthread_mutex_lock(&loop->lock);
    bool join = loop->any_left;
    pthread_t before = loop->left;
    loop->any_left = true;
    loop->left = pthread_self();
    loop->threads--;
    loop->idle -= was_idle;
    if (error == -ENODEV || loop->threads == 0)
        loop->over = true;
    if (error && error != -ENODEV && loop->error == 0)
        loop->error = error;
    pthread_cond_broadcast(&loop->ended);
    pthread_mutex_unlock(&loop->lock);
    if (join)
        pthread_join(before, NULL);
}

static void *serve(void *context)
{
    struct loop *loop = context;
    struct fuse_buf buf = {.mem = NULL};
    bool idle = true;

    int r = ss_cred_thread_init();
    while (r >= 0) {
        r = serve_one(loop, &buf);
        if (r == 1 && !enter_idle(loop)) {
            idle = false;
            r = 0;
            break;
        }
    }
    free(buf.mem);
    end_thread(loop, r < 0 ? r : 0, idle);
    return NULL;
}

/* Lazily: what is open goes on, and the session ends when the last of it is closed. */
static void detach(const struct ss_fs *fs)
{
    if (umount2(fs->mount, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", fs->mount, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static void *watch(void *context)
{
    struct loop *loop = context;

    pthread_mutex_lock(&loop->lock);
    while (loop->threads > 0 && !loop->over)
        pthread_cond_wait(&loop->ended, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
    kill(getpid(), SIGUSR1); /* blocked everywhere: wakes the main thread from its wait */
    return NULL;
}

void ss_loop_signals(sigset_t *set)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

    sigemptyset(set);
    for (size_t i = 0; i < SS_ARRAY_SIZE(signals); i++)
        sigaddset(set, signals[i]);
}

static bool has_ended(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool ended = loop->over || loop->threads == 0;
    pthread_mutex_unlock(&loop->lock);
    return ended;
}

/* Returns when the session has ended, or a second signal wants no more waiting. */
static void wait_for_end(struct loop *loop)
{
    const struct timespec tick = {.tv_sec = SWEEP_SECONDS};
    bool detached = false;
    sigset_t set;

    ss_loop_signals(&set);
    for (;;) {
        int signal = sigtimedwait(&set, NULL, &tick);
        if (signal == SIGUSR1 && has_ended(loop))
            return;
        if (signal < 0 || signal == SIGUSR1 || signal == SIGUSR2) {
            ss_save_sweep(loop->fs);
            ss_trim(loop->fs, loop->session);
        } else if (detached) {
            ss_log(LOG_WARNING, "%s: ended by a second signal; what is being written now is kept as interrupted drafts",
                   loop->fs->mount);
            _exit(1);
        } else {
            ss_log(LOG_INFO, "%s: unmounting", loop->fs->mount);
            detach(loop->fs);
            detached = true;
        }
    }
}

int ss_loop_run(struct fuse_session *session, struct ss_fs *fs)
{
    struct loop loop = {.session = session, .fs = fs};
    pthread_t watcher = 0;

    pthread_mutex_init(&loop.receive, NULL);
    pthread_mutex_init(&loop.lock, NULL);
    pthread_cond_init(&loop.ended, NULL);

    int r = ss_settle_start(fs);
    if (r < 0)
        return r;
    pthread_mutex_lock(&loop.lock);
    r = start_thread(&loop);
    pthread_mutex_unlock(&loop.lock);
    if (r == 0)
        r = -pthread_create(&watcher, NULL, watch, &loop);
    if (r < 0)
        return r;
    wait_for_end(&loop);
    pthread_join(watcher, NULL);

    pthread_mutex_lock(&loop.lock);
    while (loop.threads > 0)
        pthread_cond_wait(&loop.ended, &loop.lock);
    r = loop.error;
    pthread_mutex_unlock(&loop.lock);
    pthread_join(loop.left, NULL);
    ss_settle_stop(fs);
    ss_fs_release_rest(fs);
    return r;
}
