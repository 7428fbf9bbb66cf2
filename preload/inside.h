/* The guard against our own hooks: what Saveseal's code calls by name inside this library is a hook, too.
 *
 * A hook asks ss_inside() first; if so, it is nothing but the real function. A signal handler that interrupts a hook
 * sees the same, so it can not wait for a lock that its own thread holds. */
#ifndef SAVESEAL_PRELOAD_INSIDE_H
#define SAVESEAL_PRELOAD_INSIDE_H

#include <pthread.h>
#include <stdbool.h>

/* initial-exec: no allocation and no lock at its first use in a thread. */
extern _Thread_local unsigned ss_inside_depth __attribute__((tls_model("initial-exec")));

static inline bool ss_inside(void)
{
    return ss_inside_depth > 0;
}

/* A thread that is cancelled here would leave locks and leases behind. Returns what it was before. */
static inline int ss_inside_enter(void)
{
    int before = PTHREAD_CANCEL_DISABLE;

    if (ss_inside_depth++ == 0)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void ss_inside_leave(int *before)
{
    if (--ss_inside_depth == 0)
        pthread_setcancelstate(*before, NULL);
}

/* Until the end of the block our own calls are the real ones, and the thread can not be cancelled. */
#define SS_INSIDE __attribute__((cleanup(ss_inside_leave), unused)) int ss_inside_here = ss_inside_enter()

/* A call of a hook outside the guard, because what it does is wanted: checked.c finds those that are not meant. */
#ifdef SS_CHECKED
extern _Thread_local bool ss_on_purpose __attribute__((tls_model("initial-exec")));
#define SS_HOOK(call) (ss_on_purpose = true, call)
#else
#define SS_HOOK(call) call
#endif

#define SS_EXPORT __attribute__((visibility("default")))

#endif
