/* The streams whose file is a draft: what is in their buffers belongs to it. Thread-safe. */
#ifndef SAVESEAL_PRELOAD_STREAMS_H
#define SAVESEAL_PRELOAD_STREAMS_H

#include <stdio.h>

/* A stream was opened on a descriptor, or is about to be closed. */
void ss_streams_add(FILE *stream);
void ss_streams_remove(FILE *stream);

/* At the end of the process: flushes those of drafts, and standard output and error if they are drafts. One that a
 * thread has locked is left out: it may wait for ever. */
void ss_streams_flush(void);

#endif
