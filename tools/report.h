/* What the tool has to say about a file, and how it says it on stderr. */
#ifndef SAVESEAL_TOOLS_REPORT_H
#define SAVESEAL_TOOLS_REPORT_H

#include "core/check/judgement.h"

/* "id: sentence (detail); advice", safe for a terminal. The caller frees it. */
char *judgement_text(const struct ss_judgement *judgement);

/* Prints "saveseal: PATH: " and the judgement's text on stderr. Returns its class. */
enum ss_class report_judgement(const char *path, const struct ss_judgement *judgement);

/* The same for a directory that could not be read: error is -errno. */
enum ss_class report_directory(const char *path, int error);

/* Prints "saveseal: " and the text on stderr. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns memory, which is the result of an allocation; without memory the tool can only say so and end. */
void *report_must(void *memory);

/* asprintf that never fails. The caller frees the string. */
char *report_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
