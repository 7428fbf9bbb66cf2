/* What there is to say about one file. */
#ifndef SAVESEAL_CORE_CHECK_JUDGEMENT_H
#define SAVESEAL_CORE_CHECK_JUDGEMENT_H

#include "core/finding.h"

#define SS_JUDGEMENT_DETAIL_MAX 8192 /* room for a path or two */

/* A finding about one file, with what makes it particular. */
struct ss_judgement {
    enum ss_finding finding;
    int error;                            /* the -errno that it was made of; 0: of none */
    char detail[SS_JUDGEMENT_DETAIL_MAX]; /* one clause, may be empty; it may hold any bytes of names in images */
};

/* Fills a judgement, which is made of no error. format may be "". */
void ss_judge(struct ss_judgement *judgement, enum ss_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The judgement for a call that failed with error (-errno). Its words are in English in every locale. */
void ss_judge_errno(struct ss_judgement *judgement, int error);

#endif
