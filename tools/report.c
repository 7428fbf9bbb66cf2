#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/util.h"
#include "text.h"

char *judgement_text(const struct ss_judgement *judgement)
{
    const struct ss_finding_text *text = ss_finding_text(judgement->finding);
    SS_AUTO_FREE char *detail = text_safe(judgement->detail);

    return report_format("%s: %s%s%s%s%s%s", text->id, text->sentence, *detail ? " (" : "", detail, *detail ? ")" : "",
                         *text->advice ? "; " : "", text->advice);
}

enum ss_class report_judgement(const char *path, const struct ss_judgement *judgement)
{
    SS_AUTO_FREE char *name = text_quote(path);
    SS_AUTO_FREE char *text = judgement_text(judgement);

    report("%s: %s", name, text);
    return ss_finding_text(judgement->finding)->class;
}

enum ss_class report_directory(const char *path, int error)
{
    struct ss_judgement why;

    if (error == -ENOTDIR)
        ss_judge(&why, SS_USAGE, "it is not a directory");
    else
        ss_judge_errno(&why, error);
    return report_judgement(path, &why);
}

void report(const char *format, ...)
{
    va_list args;

    fflush(stdout); /* so that the two streams keep their order where they go to one place */
    fputs("saveseal: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void *report_must(void *memory)
{
    if (!memory) {
        report("out of memory");
        exit(SS_CLASS_TEMPORARY);
    }
    return memory;
}

char *report_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return report_must(n < 0 ? NULL : text);
}
