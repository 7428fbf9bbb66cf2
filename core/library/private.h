/* What is behind the types of saveseal.h. */
#ifndef SAVESEAL_CORE_LIBRARY_PRIVATE_H
#define SAVESEAL_CORE_LIBRARY_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/check/check.h"
#include "saveseal.h"

struct saveseal_options {
    enum ss_check_level level;
    unsigned threads;
    saveseal_progress *progress;
    void *context;
    _Atomic bool cancelled; /* set by anybody, never taken back */
};

/* A row of core/finding.c, under a name that others may know. */
struct saveseal_finding {
    struct ss_finding_text row;
};

struct saveseal_seal {
    struct ss_seal seal;
    char verity[SS_SHA256_HEX_SIZE];
};

struct saveseal_result {
    struct ss_check check; /* but for the seal, which is below */
    struct saveseal_seal seal;
    char *text;
};

const saveseal_finding *ss_library_finding(enum ss_finding finding);

/* Makes the parts of a result that its check does not have. Returns 0 or -ENOMEM. */
int ss_library_complete(saveseal_result *result);

#endif
