#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static bool use_syslog; /* written once before threads are started, read-only afterwards */

void ss_log_open(bool to_syslog)
{
    use_syslog = to_syslog;
    if (to_syslog)
        openlog("savesealfs", LOG_PID, LOG_DAEMON);
}

void ss_log(int priority, const char *format, ...)
{
    char line[1024];
    int saved = errno;
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* A name may hold a newline: what is logged stays one line. */
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (use_syslog)
        syslog(priority, "%s", line);
    else
        fprintf(stderr, "savesealfs: %s\n", line);
    errno = saved;
}
