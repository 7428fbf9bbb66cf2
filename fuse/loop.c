#include "loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/util.h"
#include "adopt.h"
#include "cred.h"
#include "judge.h"
#include "log.h"
#include "passthrough.h"
#include "save.h"
#include "settle.h"
#include "sweep.h"
#include "trim.h"
#include "writeout.h"

#define THREADS_MAX SS_SLOT_THREADS_MAX
#define IDLE_MAX 8 /* more waiting threads than this are let go */
#define SWEEP_SECONDS 2

/* Linux 6.9, include/uapi/linux/fuse.h; older headers lack them. */
#define NOTIFY_RESEND 7                 /* FUSE_NOTIFY_RESEND */
#define RESEND_FLAG2 (UINT32_C(1) << 7) /* FUSE_HAS_RESEND, bit 39 of both words of flags */

struct loop {
    struct fuse_session *session;
    struct ss_fs *fs;
    pthread_mutex_t receive; /* held while a request is read; see loop.h */
    _Atomic bool stopping;   /* no more requests are to be read */

    pthread_mutex_t lock; /* order: after receive. Guards: */
    pthread_cond_t ended;
    unsigned threads; /* alive */
    unsigned idle;    /* of those, reading or waiting to read */
    int error;        /* the first -errno that ended a thread */
    bool over;        /* the session has ended */
    bool is_reading;  /* reader waits for a request */
    pthread_t reader;
    bool any_left; /* left is a thread that has ended and is yet to be joined */
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

static void set_reading(struct loop *loop, bool reading)
{
    pthread_mutex_lock(&loop->lock);
    loop->is_reading = reading;
    loop->reader = pthread_self();
    pthread_mutex_unlock(&loop->lock);
}

/* With the receive lock held: reads one request into the slot. Returns its size, 0 to try again, or what ends the
 * thread: -ENODEV when unmounted, -ECANCELED when the worker is to end. */
static ssize_t receive(struct loop *loop, struct ss_slot *slot)
{
    if (atomic_load(&loop->stopping))
        return -ECANCELED;
    if (fuse_session_exited(loop->session))
        return -ENODEV;
    set_reading(loop, true);
    ssize_t n = read(loop->fs->shared->session, ss_slot_request(loop->fs, slot), SS_SLOT_BUFFER_SIZE);
    int error = n < 0 ? errno : 0;
    set_reading(loop, false);
    if (error == EINTR || error == EAGAIN || error == ENOENT)
        return 0; /* ENOENT: the request was taken back while it was read */
    if (error)
        return -error;
    return n >= (ssize_t)sizeof(struct fuse_in_header) ? n : -EIO;
}

/* What the kernel wants at first is what a successor will have to be told. */
static void keep_init(struct ss_shared *shared, const struct fuse_in_header *request, size_t size)
{
    if (request->opcode != FUSE_INIT || size > SS_INIT_MAX)
        return;
    memcpy(shared->init, request, size);
    atomic_store(&shared->init_len, (uint32_t)size);
}

/* The answer that an earlier worker had formed. */
static void answer_as_noted(struct ss_fs *fs, struct ss_slot *slot)
{
    ssize_t n = write(fs->shared->session, slot->reply, slot->reply_len);
    if (n < 0 && errno == ENOENT)
        ss_adopt_unanswerable(fs, slot);
    ss_slot_note_answered();
}

static void refuse(struct ss_fs *fs, struct ss_slot *slot)
{
    const struct fuse_in_header *request = ss_slot_request(fs, slot);

    ss_log(LOG_CRIT, "a request (number %u, of process %u) brings every worker down: refused with EIO", request->opcode,
           request->pid);
    ss_adopt_refuse(fs, slot);
    ss_slot_note_answered();
}

static void handle(struct loop *loop, struct ss_slot *slot, enum ss_claim claim, size_t size)
{
    struct fuse_buf buf = {.mem = ss_slot_request(loop->fs, slot), .size = size};

    if (claim == SS_CLAIM_ANSWER)
        answer_as_noted(loop->fs, slot);
    else if (claim == SS_CLAIM_REFUSE)
        refuse(loop->fs, slot);
    else
        fuse_session_process_buf(loop->session, &buf);
    atomic_fetch_add(&loop->fs->shared->served, 1);
}

/* Receives one request and handles it. Returns 1, 0 when there was none, or what ends the thread. */
static int serve_one(struct loop *loop, struct ss_slot *slot)
{
    const struct fuse_in_header *request = ss_slot_request(loop->fs, slot);

    pthread_mutex_lock(&loop->receive);
    ssize_t size = receive(loop, slot);
    if (size <= 0) {
        pthread_mutex_unlock(&loop->receive);
        return (int)size;
    }
    keep_init(loop->fs->shared, request, (size_t)size);
    leave_idle(loop);
    enum ss_claim claim = ss_adopt_claim(loop->fs, slot);
    bool release = request->opcode == FUSE_RELEASE;
    if (release)
        handle(loop, slot, claim, (size_t)size);
    pthread_mutex_unlock(&loop->receive);
    if (!release)
        handle(loop, slot, claim, (size_t)size);
    while (ss_judge_deferred(loop->fs))
        continue;
    ss_slot_clear(loop->fs, slot);
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
    if (error && error != -ENODEV && error != -ECANCELED && loop->error == 0)
        loop->error = error;
    pthread_cond_broadcast(&loop->ended);
    pthread_mutex_unlock(&loop->lock);
    if (join)
        pthread_join(before, NULL);
}

static void *serve(void *context)
{
    struct loop *loop = context;
    bool idle = true;

    int r = ss_cred_thread_init();
    int taken = ss_slot_begin(loop->fs);
    r = r < 0 ? r : taken;
    while (r >= 0) {
        r = serve_one(loop, ss_slot_mine());
        if (r == 1 && !enter_idle(loop)) {
            idle = false;
            r = 0;
            break;
        }
    }
    if (taken == 0)
        ss_slot_end(loop->fs);
    end_thread(loop, r < 0 ? r : 0, idle);
    return NULL;
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
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

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

static void ignore(int signal)
{
    (void)signal;
}

/* Threads end when they have done what they have in hand. The one that waits for a request is woken until it sees. */
static void stop(struct loop *loop)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct sigaction action = {.sa_handler = ignore};

    sigaction(SIGRTMIN, &action, NULL);
    atomic_store(&loop->stopping, true);
    for (;;) {
        pthread_mutex_lock(&loop->lock);
        bool ended = loop->threads == 0;
        if (loop->is_reading)
            pthread_kill(loop->reader, SIGRTMIN);
        pthread_mutex_unlock(&loop->lock);
        if (ended)
            return;
        nanosleep(&pause, NULL);
    }
}

/* Returns when the session has ended or the keeper wants the worker to. */
static void wait_for_end(struct loop *loop)
{
    const struct timespec tick = {.tv_sec = SWEEP_SECONDS};
    sigset_t set;

    ss_loop_signals(&set);
    sigdelset(&set, SIGINT); /* the keeper's */
    sigdelset(&set, SIGTERM);
    for (;;) {
        int signal = sigtimedwait(&set, NULL, &tick);
        if (signal == SIGUSR1 && has_ended(loop))
            return;
        if (signal == SIGHUP) {
            ss_writeout_stop(loop->fs); /* while requests are served: it may have a sync in hand */
            stop(loop);
            return;
        }
        if (signal == SIGCHLD && !ss_trim_goes_on())
            continue; /* its helper has ended */
        ss_sweep(loop->fs);
        ss_trim(loop->fs);
    }
}

/* --- after another worker --- */

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *context)
{
    ss_passthrough_complete(context, iov, count);
    bool ours = ss_slot_note_reply(iov, count);
    ssize_t n = writev(fd, iov, count);
    if (n >= 0 && ours)
        ss_slot_note_answered();
    return n;
}

static ssize_t read_request(int fd, void *buf, size_t size, void *context)
{
    (void)context;
    return read(fd, buf, size);
}

int ss_loop_prepare(struct fuse_session *session)
{
    static const struct fuse_custom_io io = {.read = read_request, .writev = write_reply};

    return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

static bool kernel_resends(const struct ss_fs *fs)
{
    const struct fuse_init_in *init = (const void *)(fs->shared->init + sizeof(struct fuse_in_header));

    return !fs->no_resend && fs->shared->init_len >= sizeof(struct fuse_in_header) + sizeof *init &&
           (init->flags & FUSE_INIT_EXT) && (init->flags2 & RESEND_FLAG2);
}

/* Tells libfuse what the kernel told the first worker, then has the requests that were in hand sent again. */
static void resume(struct fuse_session *session, struct ss_fs *fs)
{
    struct fuse_buf init = {.mem = fs->shared->init, .size = fs->shared->init_len};
    struct fuse_out_header again = {.len = sizeof again, .error = NOTIFY_RESEND};

    if (init.size == 0)
        return;                               /* it has not come yet, or comes again */
    fuse_session_process_buf(session, &init); /* a second answer finds nobody, a first one was due */
    fs->resending = kernel_resends(fs) && write(fs->shared->session, &again, sizeof again) == (ssize_t)sizeof again;
    if (!fs->resending)
        ss_adopt_refuse_all(fs);
}

int ss_loop_run(struct fuse_session *session, struct ss_fs *fs)
{
    struct loop loop = {.session = session, .fs = fs};
    pthread_t watcher = 0;

    pthread_mutex_init(&loop.receive, NULL);
    pthread_mutex_init(&loop.lock, NULL);
    pthread_cond_init(&loop.ended, NULL);
    ss_adopt(fs);
    if (fs->resumed)
        resume(session, fs);

    int r = ss_settle_start(fs);
    if (r == 0)
        r = ss_writeout_start(fs);
    if (r < 0)
        return r;
    while (ss_judge_deferred(fs)) /* before anybody can ask: close() may have returned long ago */
        continue;
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
    ss_writeout_stop(fs);
    ss_settle_stop(fs);
    if (r == 0 && atomic_load(&loop.stopping))
        return -ECANCELED;
    bool gone = ss_fs_release_rest(fs);
    ss_save_forget_digests(fs);
    return gone && r == -ECONNABORTED ? 0 : r; /* the last request was being read when the mount went */
}
