/* Where the daemon's messages go: standard error in the foreground, syslog otherwise. Thread-safe. */
#ifndef SAVESEAL_FUSE_LOG_H
#define SAVESEAL_FUSE_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* Called once, before there is a worker. Not the C library's syslog(): that opens and closes its socket as it likes, in
 * a table of descriptors that several processes share here. inherited: the socket of a program before this one, -1
 * none. Returns the socket, -1 when none is used. */
int ss_log_open(bool to_syslog, int inherited);

/* One line, no newline needed. priority is one of LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO. Keeps errno. */
void ss_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
