/* The answers of verify for people. */
#include <stdio.h>

#include "core/util.h"
#include "report.h"
#include "text.h"
#include "verify.h"

static void print_whole(const struct verify_wanted *wanted, const struct verify_answer *answer, const char *name)
{
    const struct ss_check *check = &answer->check;
    char size[TEXT_SIZE_MAX], when[TEXT_TIME_MAX];

    text_size(check->size, size);
    if (wanted->bitmap) {
        printf("%s: the bitmap is good\n", name);
    } else if (check->why.finding == SS_COMPLETE) {
        printf("%s: complete by its own marks (%s, %s; no seal)\n", name, check->inside.title, size);
    } else if (wanted->against) {
        SS_AUTO_FREE char *other = text_quote(wanted->against);
        printf("%s: whole (%s %s, %s)\n", name,
               wanted->reference == verify_manifest ? "as listed in"
               : wanted->reference == verify_seal   ? "as in the seal of"
                                                    : "the same as",
               other, size);
    } else {
        text_time(check->seal.sealed, when);
        printf("%s: %s (seal of %s, %s%s)\n", name, check->content ? "whole" : "header intact", when, size,
               check->content                    ? ""
               : wanted->level == SS_CHECK_QUICK ? "; quick: content not checked"
                                                 : "; its seal has no digest of the content");
    }
}

void verify_text_answer(const struct verify_wanted *wanted, const struct verify_answer *answer)
{
    const struct ss_judgement *why = &answer->check.why;
    enum ss_class class = ss_finding_text(why->finding)->class;
    SS_AUTO_FREE char *name = text_quote(answer->item.path);

    /* What was found in the file is the answer; that it could not be looked at is an error. */
    if (class == SS_CLASS_INVALID || why->finding == SS_IO_ERROR) {
        report_judgement(answer->item.path, why);
    } else if (class == SS_CLASS_INTACT) {
        if (!answer->remembered) /* the run that found it has told that */
            print_whole(wanted, answer, name);
    } else if (why->finding != SS_NOT_REACHED || *why->detail) { /* those that nobody began with are only counted */
        SS_AUTO_FREE char *text = judgement_text(why);
        printf("%s: %s: %s%s\n", name,
               tally_part(&answer->check, answer->item.dir != NULL) == TALLY_INTERRUPTED ? "interrupted draft"
                                                                                         : ss_class_name(class),
               text, answer->remembered ? " [found by an earlier run]" : "");
    }
}

void verify_text_summary(const struct verify_wanted *wanted, const struct tally *tally, const char *stopped)
{
    SS_AUTO_FREE char *text = tally_text(tally, wanted->bitmap != NULL);

    printf("%s%s%s\n", text, stopped ? "; stopped: " : "", stopped ? stopped : "");
}
