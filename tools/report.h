/* What the tool has to say about a file, and how it says it on stderr. */
#ifndef SAVESEAL_TOOLS_REPORT_H
#define SAVESEAL_TOOLS_REPORT_H

#include "core/finding.h"

#define JUDGEMENT_DETAIL_MAX 8192 /* room for a path or two */

/* A finding about one file, with what makes it particular. */
struct judgement {
    enum ss_finding finding;
    char detail[JUDGEMENT_DETAIL_MAX]; /* one clause, may be empty */
};

/* Fills a judgement. format may be "". */
void judge(struct judgement *judgement, enum ss_finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The judgement for a call that failed with error (-errno). */
void judge_errno(struct judgement *judgement, int error);

/* "id: sentence (detail); advice", safe for a terminal. The caller frees it. */
char *judgement_text(const struct judgement *judgement);

/* Prints "saveseal: PATH: " and the judgement's text on stderr. Returns its class. */
enum ss_class report_judgement(const char *path, const struct judgement *judgement);

/* Prints "saveseal: " and the text on stderr. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns memory, which is the result of an allocation; without memory the tool can only say so and end. */
void *report_must(void *memory);

/* asprintf that never fails. The caller frees the string. */
char *report_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
