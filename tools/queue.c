#include "queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/thread.h"
#include "report.h"

#define SLOTS_PER_THREAD 4 /* how far threads may be ahead of a slow one before them */

/* Slots are used in a ring: those from drained to filled are in use, the first taken of them given to threads. */
struct queue {
    const struct queue_calls *calls;
    void *context;
    size_t slot_size, count;
    char *slots;

    pthread_mutex_t lock; /* guards everything below; a slot belongs to who took it, until its finished is set */
    pthread_cond_t filled_one, finished_one;
    size_t drained, taken, filled; /* since the start */
    bool ended;
    bool *finished;
};

static void *slot_at(struct queue *queue, size_t index)
{
    return queue->slots + index % queue->count * queue->slot_size;
}

static void *work(void *argument)
{
    struct queue *queue = argument;

    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (queue->taken == queue->filled && !queue->ended)
            pthread_cond_wait(&queue->filled_one, &queue->lock);
        if (queue->taken == queue->filled)
            break;
        size_t index = queue->taken++;
        pthread_mutex_unlock(&queue->lock);
        queue->calls->work(queue->context, slot_at(queue, index));
        pthread_mutex_lock(&queue->lock);
        queue->finished[index % queue->count] = true;
        if (index == queue->drained)
            pthread_cond_signal(&queue->finished_one);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* Fills one slot. Called and returns with the lock held. */
static void fill(struct queue *queue)
{
    size_t index = queue->filled;

    pthread_mutex_unlock(&queue->lock);
    bool more = queue->calls->next(queue->context, slot_at(queue, index));
    pthread_mutex_lock(&queue->lock);
    if (more) {
        queue->finished[index % queue->count] = false;
        queue->filled++;
        pthread_cond_signal(&queue->filled_one);
    } else {
        queue->ended = true;
        pthread_cond_broadcast(&queue->filled_one);
    }
}

/* Empties the oldest slot. Called and returns with the lock held. */
static void drain(struct queue *queue)
{
    pthread_mutex_unlock(&queue->lock);
    queue->calls->done(queue->context, slot_at(queue, queue->drained));
    pthread_mutex_lock(&queue->lock);
    queue->drained++;
}

static void feed(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        if (queue->drained < queue->filled && queue->finished[queue->drained % queue->count])
            drain(queue);
        else if (!queue->ended && queue->filled - queue->drained < queue->count)
            fill(queue);
        else if (queue->drained < queue->filled)
            pthread_cond_wait(&queue->finished_one, &queue->lock);
        else
            break;
    }
    pthread_mutex_unlock(&queue->lock);
}

static void run_alone(size_t slot_size, const struct queue_calls *calls, void *context)
{
    void *slot = report_must(calloc(1, slot_size));

    while (calls->next(context, slot)) {
        calls->work(context, slot);
        calls->done(context, slot);
    }
    free(slot);
}

static unsigned start_threads(struct queue *queue, unsigned wanted, pthread_t *thread)
{
    unsigned count = 0;

    while (count < wanted && ss_thread_start(&thread[count], work, queue) == 0)
        count++;
    return count;
}

void queue_run(unsigned threads, size_t slot_size, const struct queue_calls *calls, void *context)
{
    pthread_t thread[QUEUE_THREADS_MAX];
    struct queue queue = {.calls = calls, .context = context, .slot_size = slot_size};

    queue.count = (size_t)SLOTS_PER_THREAD * threads;
    queue.slots = report_must(calloc(queue.count, slot_size));
    queue.finished = report_must(calloc(queue.count, sizeof *queue.finished));
    pthread_mutex_init(&queue.lock, NULL);
    pthread_cond_init(&queue.filled_one, NULL);
    pthread_cond_init(&queue.finished_one, NULL);
    unsigned running = threads > 1 ? start_threads(&queue, threads, thread) : 0;
    if (running == 0)
        run_alone(slot_size, calls, context);
    else
        feed(&queue);
    for (unsigned i = 0; i < running; i++)
        pthread_join(thread[i], NULL);
    pthread_cond_destroy(&queue.finished_one);
    pthread_cond_destroy(&queue.filled_one);
    pthread_mutex_destroy(&queue.lock);
    free(queue.finished);
    free(queue.slots);
}
