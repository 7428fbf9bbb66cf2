/* Is this file what was saved? Seal, digest and inside of one file, in one judgement. */
#ifndef SAVESEAL_CORE_CHECK_CHECK_H
#define SAVESEAL_CORE_CHECK_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/inside/inside.h"
#include "core/seal.h"
#include "judgement.h"

enum ss_check_level {
    SS_CHECK_QUICK, /* seal, size and header: as long as the header */
    SS_CHECK_WHOLE, /* the whole content against the seal; of a file without one: headers, tables and end */
    SS_CHECK_DEEP,  /* and all of the inside */
};

struct ss_check_options {
    enum ss_check_level level;
    struct ss_digest_run run; /* steers the digest; its stop, progress and context also the look inside */
};

struct ss_check {
    struct ss_judgement why; /* the answer */
    bool draft;              /* it is a draft, and the answer is its state */
    bool content;            /* SS_INTACT: the whole content was compared with the seal, not the header only */
    bool has_seal;
    struct ss_seal seal;
    bool looked_inside;
    struct ss_inside inside;
    uint64_t size; /* bytes */
};

/* Checks the file that path names; on a mount the file behind it. Never fails: that it can not be read is an answer,
 * too. check is all written. Thread-safe. */
void ss_check_path(const char *path, const struct ss_check_options *options, struct ss_check *check);

#endif
