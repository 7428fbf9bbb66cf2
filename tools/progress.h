/* A line on the terminal that tells how far a long digest is. Nothing for a short file, and
 * nothing at all where stderr is no terminal. */
#ifndef SAVESEAL_TOOLS_PROGRESS_H
#define SAVESEAL_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
    bool wanted;
    bool shown;
    char label[32];
    struct timespec start, last;
};

/* Is there a terminal to show progress on? */
bool progress_on_terminal(void);

/* Draws the line: done of total, since start (CLOCK_MONOTONIC). unit: what is counted, behind the speed; NULL for
 * bytes. */
void progress_draw(const char *label, uint64_t done, uint64_t total, const struct timespec *start, const char *unit);

/* Takes it away. */
void progress_erase(void);

/* Gets ready for a run over path. */
void progress_start(struct progress *progress, const char *path);

/* The callback of ss_digest_run; context is the struct progress. */
int progress_step(void *context, uint64_t done, uint64_t size);

/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
