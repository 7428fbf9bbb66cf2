#include "limit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "core/util.h"

#define NAP_NS (UINT64_C(50) * 1000 * 1000) /* how long a stop may go unnoticed */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

/* For the handler; set before it is installed. */
static struct limit *_Atomic handled;

static void stop(struct limit *limit, enum limit_reason reason)
{
    int none = LIMIT_NONE;

    atomic_compare_exchange_strong(&limit->reason, &none, (int)reason);
    atomic_store(&limit->stop, true);
}

/* Lock-free atomics only. */
static void on_signal(int number)
{
    struct limit *limit = atomic_load(&handled);

    if (!limit)
        return;
    atomic_store(&limit->signal, number);
    stop(limit, LIMIT_SIGNAL);
}

static void handle_signals(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, now;

    for (size_t i = 0; i < SS_ARRAY_SIZE(signals); i++) /* what nohup(1) ignores stays ignored */
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

void limit_start(struct limit *limit, uint64_t rate, uint64_t bytes, uint64_t seconds)
{
    memset(limit, 0, sizeof *limit);
    pthread_mutex_init(&limit->lock, NULL);
    limit->rate = rate;
    limit->bytes = bytes;
    if (seconds)
        limit->deadline = ss_now_ns() + seconds * SS_SECOND_NS;
    atomic_store(&handled, limit);
    handle_signals(on_signal, (int)(SA_RESTART | SA_RESETHAND));
}

void limit_end(struct limit *limit)
{
    handle_signals(SIG_DFL, 0);
    atomic_store(&handled, NULL);
    pthread_mutex_destroy(&limit->lock);
}

bool limit_is_over(struct limit *limit)
{
    if (limit->deadline && ss_now_ns() >= limit->deadline)
        stop(limit, LIMIT_TIME);
    return atomic_load(&limit->stop);
}

bool limit_may_begin(struct limit *limit, uint64_t size)
{
    if (limit_is_over(limit) || atomic_load(&limit->reason) != LIMIT_NONE)
        return false;
    if (limit->bytes && limit->begun > 0 && (limit->begun >= limit->bytes || size > limit->bytes - limit->begun)) {
        /* No stop: what was begun is finished. */
        int none = LIMIT_NONE;
        atomic_compare_exchange_strong(&limit->reason, &none, LIMIT_BYTES);
        return false;
    }
    limit->begun += size;
    return true;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* How long len bytes take, in ns; for ever when that is no number any more. */
static uint64_t time_of(uint64_t len, uint64_t rate)
{
    uint64_t seconds = len / rate, rest = len % rate; /* the rest, less than a second, as a part of one */

    if (seconds >= UINT64_MAX / SS_SECOND_NS)
        return UINT64_MAX;
    return seconds * SS_SECOND_NS + (uint64_t)((double)rest / (double)rate * (double)SS_SECOND_NS);
}

/* When the read may be. */
static uint64_t reserve(struct limit *limit, uint64_t len)
{
    uint64_t now = ss_now_ns();

    pthread_mutex_lock(&limit->lock);
    uint64_t when = limit->free_at > now ? limit->free_at : now;
    limit->free_at = sum(when, time_of(len, limit->rate));
    pthread_mutex_unlock(&limit->lock);
    return when;
}

int limit_admit(struct limit *limit, uint64_t len)
{
    uint64_t when = limit->rate ? reserve(limit, len) : 0;

    while (!limit_is_over(limit)) {
        uint64_t now = limit->rate ? ss_now_ns() : 0;
        if (now >= when)
            return 0;
        uint64_t nap = when - now < NAP_NS ? when - now : NAP_NS;
        nanosleep(&(struct timespec){.tv_nsec = (long)nap}, NULL);
    }
    return -ECANCELED;
}

bool limit_is_final(const struct limit *limit)
{
    return atomic_load(&limit->signal) != 0 || atomic_load(&limit->reason) == LIMIT_OUTPUT;
}

void limit_stop_output(struct limit *limit)
{
    stop(limit, LIMIT_OUTPUT);
}

const char *limit_text(const struct limit *limit)
{
    switch ((enum limit_reason)atomic_load(&limit->reason)) {
    case LIMIT_NONE:
        break;
    case LIMIT_TIME:
        return "--max-time is over";
    case LIMIT_BYTES:
        return "--max-bytes is used up";
    case LIMIT_OUTPUT:
        return "the standard output can not be written";
    case LIMIT_SIGNAL:
        return atomic_load(&limit->signal) == SIGINT    ? "SIGINT"
               : atomic_load(&limit->signal) == SIGTERM ? "SIGTERM"
                                                        : "SIGHUP";
    }
    return NULL;
}
