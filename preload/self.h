/* What this process is to the shim: protected or not, which process it is, and its way to say that something is wrong.
 */
#ifndef SAVESEAL_PRELOAD_SELF_H
#define SAVESEAL_PRELOAD_SELF_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/draft.h"

/* Has the shim anything to do here? False as long as it is not set up, and without protected directories. */
extern bool ss_active;

/* The shim is set up when the library is loaded. What is wrong there ends the process with status 126, unless
 * SAVESEAL_PERMISSIVE=1: an unprotected save is worse than none. */

/* False in a child of vfork, which shares our memory: nothing that is remembered may be changed there. */
bool ss_self_may_remember(void);

/* Around each fork: in the child the table is whole, and who we are is found anew. Safe in a signal handler. */
void ss_self_before_fork(void);
void ss_self_after_fork(void); /* also when there is no child */
void ss_self_in_child(void);

/* The writer, time and host of a draft that this process makes now. */
void ss_self_describe(struct ss_draft_record *record);

/* A line "saveseal: ..." to the standard error, if SAVESEAL_REPORT=1; ss_self_complain always. Safe in a signal
 * handler. */
bool ss_self_reports(void);
const char *ss_self_library(void); /* the file of this library */
void ss_self_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ss_self_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A descriptor of our own goes where programs do not look for theirs, close-on-exec. Closes fd. Returns the new one or
 * -errno. */
int ss_self_hide_fd(int fd);

#endif
