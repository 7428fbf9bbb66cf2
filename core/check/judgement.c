#include "judgement.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/compat.h"

void ss_judge(struct ss_judgement *judgement, enum ss_finding finding, const char *format, ...)
{
    va_list args;

    judgement->finding = finding;
    judgement->error = 0;
    va_start(args, format);
    vsnprintf(judgement->detail, sizeof judgement->detail, format, args);
    va_end(args);
}

/* Not strerror, which translates. */
static const char *words_of(int error)
{
    const char *words = strerrordesc_np(-error);

    return words ? words : "an error that is not known";
}

void ss_judge_errno(struct ss_judgement *judgement, int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
        ss_judge(judgement, SS_NOT_FOUND, "%s", error == -ENOENT ? "" : words_of(error));
        break;
    case -EISDIR:
    case -ELOOP:
        ss_judge(judgement, SS_NOT_A_FILE, "%s", words_of(error));
        break;
    case -EACCES:
    case -EPERM:
        ss_judge(judgement, SS_NO_PERMISSION, "%s", words_of(error));
        break;
    case -EEXIST:
        ss_judge(judgement, SS_DEST_EXISTS, "%s", "");
        break;
    case -ENOTCONN:
        ss_judge(judgement, SS_IO_ERROR, "the daemon of this mount has ended; mount it again");
        break;
    default:
        ss_judge(judgement, SS_IO_ERROR, "%s", words_of(error));
    }
    judgement->error = error;
}
