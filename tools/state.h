/* The file of verify --state: what earlier runs have found, so that the next goes on after them. It is always whole:
 * each saving replaces it. Its lock is held, so that there are no two runs with one. Not thread-safe. */
#ifndef SAVESEAL_TOOLS_STATE_H
#define SAVESEAL_TOOLS_STATE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "core/check/judgement.h"
#include "core/check/verify_state.h"

struct state;

/* Opens it, or makes an empty one. mode and against as in struct ss_verify_state; they must live as long. What a run
 * that had come to its end has found counts no more. NULL with the reason: SS_BUSY, or SS_DEST_EXISTS for a file that
 * is none, or one of another kind of run, which is left alone. */
struct state *state_open(const char *path, const char *mode, const char *against, struct ss_judgement *why);

/* What is remembered of a file, if it is still the same; or NULL. st and fs as for ss_verify_stamp(). */
const struct ss_verify_result *state_find(const struct state *state, const char *path, const struct stat *st,
                                          uint64_t fs);

/* Is it the file of the state itself? */
bool state_is(const struct state *state, const struct stat *st);

/* Remembers a file, st being from before it was verified. Saves now and then. */
void state_add(struct state *state, const char *path, const struct stat *st, uint64_t fs, enum ss_finding finding,
               bool content);

/* Returns 0 or -errno, -EFBIG when it would be longer than what is read. A later one that succeeds has everything. */
int state_save(struct state *state, bool finished);

void state_close(struct state *state);

#endif
