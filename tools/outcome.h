/* How the commands that change something tell what they did to one file, or why not. */
#ifndef SAVESEAL_TOOLS_OUTCOME_H
#define SAVESEAL_TOOLS_OUTCOME_H

#include <jansson.h>
#include <stdbool.h>

#include "report.h"

/* Nothing was done: prints the judgement on stderr or, with json, an object with "action": "refused". kind is "image"
 * or "draft". Returns the judgement's class. */
enum ss_class outcome_refused(const char *path, const char *kind, const struct ss_judgement *why, bool json);

/* An object for what was done, a word such as "sealed"; the caller adds to it and prints it. */
json_t *outcome_done(const char *path, const char *kind, const char *action);

#endif
