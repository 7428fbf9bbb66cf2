#include "confirm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/util.h"

bool confirm_possible(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool confirm(const char *format, ...)
{
    SS_AUTO_FREE char *answer = NULL;
    size_t capacity = 0;
    va_list args;

    if (!confirm_possible())
        return false;
    fflush(stdout); /* what the question is about may stand there */
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" [y/N] ", stderr);
    fflush(stderr);
    if (getline(&answer, &capacity, stdin) <= 0)
        return false;
    answer[strcspn(answer, " \t\r\n")] = '\0';
    return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}
