#include "child.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "inside.h"
#include "readable.h"
#include "self.h"
#include "core/program.h"

#define LIBRARY "libsaveseal-preload.so"

static const char *value_of(char *const environment[], const char *name)
{
    size_t len = strlen(name);

    for (; ss_readable(environment, sizeof *environment) && *environment; environment++)
        if (ss_readable(*environment, 1) && strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return "";
}

static bool has_library(char *const environment[])
{
    return strstr(value_of(environment, "LD_PRELOAD"), LIBRARY);
}

static bool has_dirs(char *const environment[])
{
    return *value_of(environment, "SAVESEAL_DIRS");
}

bool ss_child_is_protected(const char *program, bool by_path, char *const environment[])
{
    char found[PATH_MAX], why[SS_PROGRAM_WHY_MAX];

    if (!has_library(environment) || !has_dirs(environment) || (by_path && ss_program_find(program, found) < 0))
        return false;
    return ss_program_is_protectable(by_path ? found : program, ss_self_library(), why);
}

static void check_program(const char *command, bool by_path)
{
    char found[PATH_MAX], why[SS_PROGRAM_WHY_MAX];

    if (by_path && ss_program_find(command, found) < 0)
        return; /* it will not start */
    if (!ss_program_is_protectable(by_path ? found : command, ss_self_library(), why))
        ss_self_report("%s: started without protection: %s", command, why);
}

void ss_child_starts(const char *program, bool by_path, char *const environment[])
{
    int saved = errno;

    if (!ss_active || ss_inside() || !ss_self_reports() || !ss_readable_path(program))
        return;
    SS_INSIDE;
    if (!has_library(environment))
        ss_self_report("%s: started without the library (LD_PRELOAD): what it opens and saves is not protected",
                       program);
    else if (!has_dirs(environment))
        ss_self_report("%s: started without SAVESEAL_DIRS: what it opens and saves is not protected", program);
    else
        check_program(program, by_path);
    errno = saved;
}
