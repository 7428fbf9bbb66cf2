/* What verify was asked, and what it found. */
#ifndef SAVESEAL_TOOLS_VERIFY_H
#define SAVESEAL_TOOLS_VERIFY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "core/check/check.h"
#include "tally.h"
#include "walk.h"

struct verify_wanted {
    enum ss_check_level level;
    const char *bitmap;    /* the checkpoint asked for, instead of all else; or NULL */
    const char *against;   /* what files are compared with, instead of their seals; or NULL */
    const char *reference; /* and which of it: one of the three below */
};

/* In JSON: listed in a manifest; equal to what another image's seal says, or to its content. */
extern const char verify_manifest[], verify_seal[], verify_content[];

struct verify_answer {
    struct walk_item item;
    bool remembered; /* it was found by an earlier run with the same state, and the file is the same */
    struct ss_check check;
};

/* Each prints one answer, and in the end what all amount to. stopped: NULL, or what ended the run early. */
void verify_text_answer(const struct verify_wanted *wanted, const struct verify_answer *answer);
void verify_text_summary(const struct verify_wanted *wanted, const struct tally *tally, const char *stopped);
void verify_json_answer(const struct verify_wanted *wanted, const struct verify_answer *answer);
void verify_json_summary(const struct tally *tally, const char *stopped);

#endif
