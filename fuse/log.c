#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int socket_fd = -1; /* written once before there is a worker, read-only afterwards */

int ss_log_open(bool to_syslog, int inherited)
{
    if (to_syslog)
        socket_fd = inherited >= 0 ? inherited : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    tzset(); /* reads a file: now, not later */
    return socket_fd;
}

/* As the C library's syslog() does it, RFC 3164, section 4.1. */
static void send_line(int priority, const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    char message[1200], stamp[32];
    time_t now = time(NULL);
    struct tm local;

    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%h %e %T", &local);
    int n = snprintf(message, sizeof message, "<%d>%s savesealfs[%d]: %s", priority | LOG_DAEMON, stamp, (int)getpid(),
                     line);
    sendto(socket_fd, message, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address,
           sizeof address);
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
    if (socket_fd >= 0)
        send_line(priority, line);
    else
        fprintf(stderr, "savesealfs: %s\n", line);
    errno = saved;
}
