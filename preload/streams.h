/* The streams whose file is a draft: what is in their buffers belongs to it. Thread-safe. */
#ifndef SAVESEAL_PRELOAD_STREAMS_H
#define SAVESEAL_PRELOAD_STREAMS_H

#include <stdbool.h>
#include <stdio.h>

/* A stream was opened on a descriptor, or is about to be closed. add: 0 or -ENOMEM. */
int ss_streams_add(FILE *stream);
void ss_streams_remove(FILE *stream);

/* Is there one? A hint: right for what the calling thread did itself. */
bool ss_streams_any(void);

/* At the end of the process: flushes those of drafts, and standard output and error if they are drafts. What could not
 * be written is told by its descriptor; so is a stream that a thread has locked, which may be for ever. */
void ss_streams_flush(void (*failed)(int fd, int error));

#endif
