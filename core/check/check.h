/* Is this file what was saved? Seal, digest and inside of one file, in one judgement. */
#ifndef SAVESEAL_CORE_CHECK_CHECK_H
#define SAVESEAL_CORE_CHECK_CHECK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "compare.h"
#include "core/digest.h"
#include "core/inside/inside.h"
#include "core/seal.h"
#include "judgement.h"
#include "place.h"

enum ss_check_level {
    SS_CHECK_QUICK, /* seal, size and header: as long as the header */
    SS_CHECK_WHOLE, /* the whole content against the seal; of a file without one: headers, tables and end */
    SS_CHECK_DEEP,  /* and all of the inside */
};

#define SS_CHECK_LONG ((uint64_t)8 << 20) /* bytes: a digest of more is worth several threads */

/* How a file is checked. All zero but the level is the default. */
struct ss_check_options {
    enum ss_check_level level;
    struct ss_digest_run run; /* steers the digest; its stop, progress and context also the look inside */

    /* Held while a file of more than SS_CHECK_LONG bytes is digested: whoever checks several files at a time gives them
     * all the same, so that one has all of run.threads. Other files take one thread then. May be NULL. */
    pthread_mutex_t *turn;

    /* What the file is compared with, instead of its seal. May be NULL. */
    const struct ss_reference *reference;

    struct ss_memory *memory; /* what looks inside may take together: struct ss_inside_options has more. May be NULL */
    bool seal_only;           /* a file without a seal is SS_UNSEALED whatever is in it: its format is not looked at */

    bool digests; /* of a file that nothing is wrong with, tell verity and sha256; not with SS_CHECK_QUICK */
};

struct ss_check {
    struct ss_judgement why; /* the answer */
    bool draft;              /* it is a draft, and the answer is its state */
    bool content;            /* SS_INTACT: the whole content was compared, not the header only */
    bool has_seal;
    struct ss_seal seal;
    bool looked_inside;
    struct ss_inside inside;
    uint64_t size; /* bytes */

    bool has_digests; /* as they were asked for */
    struct ss_sha256 verity, sha256;
};

/* Fills in check->why by what check->inside says of an image that has no seal to go by. */
void ss_judge_inside(const struct ss_check_options *options, struct ss_check *check);

/* Checks the file that path names, or the directory, if it is an image; on a mount the file behind it. Never fails:
 * that it can not be read is an answer, too, and so is SS_NOT_REACHED when it was ended by run's stop, or a callback
 * that returned -ECANCELED. A file that changes meanwhile is SS_CHANGED_WHILE_READING, whatever else was found. check
 * is all written. Thread-safe. */
void ss_check_path(const char *path, const struct ss_check_options *options, struct ss_check *check);

/* The same for what is called name in a place, not following a symbolic link; path is what texts call it. */
void ss_check_at(const struct ss_place *place, const char *name, const char *path,
                 const struct ss_check_options *options, struct ss_check *check);

/* The same for an image that is open for reading (not O_PATH), whatever its name. Its file offset is moved meanwhile
 * and put back. */
void ss_check_fd(int fd, const struct ss_check_options *options, struct ss_check *check);

#endif
