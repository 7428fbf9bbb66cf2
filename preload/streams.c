#include "streams.h"

#include <stdatomic.h>
#include <stddef.h>

#include "drafts.h"

#define STREAMS_MAX 1024 /* what is opened beyond is not flushed by us, and so not judged whole at exit */

static _Atomic(FILE *) streams[STREAMS_MAX];

void ss_streams_add(FILE *stream)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        FILE *none = NULL;
        if (atomic_compare_exchange_strong(&streams[i], &none, stream))
            return;
    }
}

void ss_streams_remove(FILE *stream)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        FILE *expected = stream;
        if (atomic_compare_exchange_strong(&streams[i], &expected, NULL))
            return;
    }
}

static void flush(FILE *stream)
{
    if (!stream || !ss_fd_is_ours(fileno_unlocked(stream)) || ftrylockfile(stream) != 0)
        return;
    fflush_unlocked(stream);
    funlockfile(stream);
}

void ss_streams_flush(void)
{
    flush(stdout);
    flush(stderr);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        flush(atomic_load(&streams[i]));
}
