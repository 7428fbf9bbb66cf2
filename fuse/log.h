/* Where the daemon's messages go: standard error in the foreground, syslog otherwise. Thread-safe. */
#ifndef SAVESEAL_FUSE_LOG_H
#define SAVESEAL_FUSE_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* Called once, before threads are started. */
void ss_log_open(bool to_syslog);

/* One line, no newline needed. priority is one of LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO. Keeps errno. */
void ss_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
