/* saveseal run: starts a program with the preload library, after a look whether it can be loaded there. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "core/program.h"
#include "core/util.h"
#include "report.h"
#include "text.h"

#define STATUS_NOT_FOUND 127 /* as shells have it */
#define STATUS_REFUSED 126

static const char help[] = "Starts COMMAND with libsaveseal-preload.so: what it, or a process that it\n"
                           "starts, saves in DIR is hidden until it is closed, and then sealed. COMMAND\n"
                           "keeps the process number.\n"
                           "\n"
                           "  --dir DIR         a directory to protect, with all below it; may be repeated\n"
                           "  --commit exit     a save is sealed when its process has exited with status 0,\n"
                           "                    not when it is closed: for programs that close what they\n"
                           "                    failed to save\n"
                           "  --format libvirt  only save images of libvirt are sealed, which say in their\n"
                           "                    own header that they are complete (default: any)\n"
                           "  --permissive      where the library can not protect, go on without\n"
                           "  --report          programs say on their standard error what became of each\n"
                           "                    save, and what they start without protection\n"
                           "  -h, --help        this text\n"
                           "\n"
                           "Exit status: that of COMMAND; 2 the request was wrong; 126 COMMAND can not be\n"
                           "protected, or not be started; 127 there is no such COMMAND.\n";

/* The library: beside a saveseal that was not installed, else where it is installed. The caller frees it. */
static char *find_library(void)
{
    char self[PATH_MAX];

    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
    if (slash) {
        *slash = '\0';
        char *beside = report_format("%s/../preload/libsaveseal-preload.so", self);
        if (access(beside, R_OK) == 0)
            return beside;
        free(beside);
    }
    return report_format("%s", SAVESEAL_PRELOAD);
}

/* Adds one directory to the list of SAVESEAL_DIRS. */
static bool add_dir(char **dirs, const char *name, enum ss_class *result)
{
    SS_AUTO_FREE char *quoted = text_quote(name);
    SS_AUTO_FREE char *path = realpath(name, NULL);
    struct stat st;

    int error = !path || stat(path, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (!path || error || strchr(path, ':')) {
        *result = command_usage(&command_run, "--dir %s: %s", quoted,
                                error ? strerrordesc_np(error) : "a name with ':' can not be given");
        return false;
    }
    /* The name as it was given counts as well: programs may use it. */
    bool both = name[0] == '/' && strcmp(name, path) != 0 && !strchr(name, ':');
    char *longer =
        report_format("%s%s%s%s%s", *dirs ? *dirs : "", *dirs ? ":" : "", path, both ? ":" : "", both ? name : "");
    free(*dirs);
    *dirs = longer;
    return true;
}

struct how {
    bool at_exit, needs_mark, permissive, reports;
};

static void set(const char *name, const char *value)
{
    if (setenv(name, value, 1) < 0)
        report_must(NULL);
}

/* What the options do not say is not to come from who started us. */
static void set_or_not(const char *name, const char *value, bool wanted)
{
    if (wanted)
        set(name, value);
    else
        unsetenv(name);
}

static void set_environment(const char *dirs, const char *library, const struct how *how)
{
    const char *others = getenv("LD_PRELOAD"), *outer = getenv("SAVESEAL_DIRS");
    SS_AUTO_FREE char *libraries =
        report_format("%s%s%s", library, others && others[0] ? ":" : "", others ? others : "");
    SS_AUTO_FREE char *all = /* what somebody around us protects stays so */
        report_format("%s%s%s", dirs, outer && outer[0] ? ":" : "", outer ? outer : "");

    set("LD_PRELOAD", libraries);
    set("SAVESEAL_DIRS", all);
    set_or_not("SAVESEAL_COMMIT", "exit", how->at_exit);
    set_or_not("SAVESEAL_FORMAT", "libvirt", how->needs_mark);
    set_or_not("SAVESEAL_PERMISSIVE", "1", how->permissive);
    set_or_not("SAVESEAL_REPORT", "1", how->reports);
}

static enum ss_class start(char **command, const char *dirs, const struct how *how)
{
    SS_AUTO_FREE char *quoted = text_quote(command[0]);
    SS_AUTO_FREE char *library = find_library();
    char program[PATH_MAX], why[SS_PROGRAM_WHY_MAX];

    int r = ss_program_find(command[0], program);
    if (r < 0) {
        report("%s: %s", quoted, strerrordesc_np(-r));
        return (enum ss_class)(r == -ENOENT ? STATUS_NOT_FOUND : STATUS_REFUSED);
    }
    if (strpbrk(library, " :\t\n")) { /* what LD_PRELOAD takes for the end of a name */
        report("%s: the name of the library has a blank or a colon in it", library);
        return (enum ss_class)STATUS_REFUSED;
    }
    if (!ss_program_is_protectable(program, library, why)) {
        report("%s: %s%s", quoted, why, how->permissive ? "; it runs unprotected" : "; not started unprotected");
        if (!how->permissive)
            return (enum ss_class)STATUS_REFUSED;
    }
    set_environment(dirs, library, how);
    execv(program, command);
    report("%s: %s", quoted, strerrordesc_np(errno));
    return (enum ss_class)STATUS_REFUSED;
}

static enum ss_class run(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"commit", required_argument, NULL, 'c'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"permissive", no_argument, NULL, 'p'},
                                            {"report", no_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    SS_AUTO_FREE char *dirs = NULL;
    struct how how = {0};
    enum ss_class result;

    opterr = 0;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "+h", options, NULL)) != -1;) {
        if (c == 'h') {
            command_help(&command_run, stdout);
            return SS_CLASS_INTACT;
        }
        if (c == '?')
            return command_usage(&command_run, "unknown option, or a value is missing: %s", argv[optind - 1]);
        if (c == 'd' && !add_dir(&dirs, optarg, &result))
            return result;
        if (c == 'c' && strcmp(optarg, "exit") != 0 && strcmp(optarg, "close") != 0)
            return command_usage(&command_run, "--commit is close or exit");
        if (c == 'f' && strcmp(optarg, "any") != 0 && strcmp(optarg, "libvirt") != 0)
            return command_usage(&command_run, "--format is any or libvirt");
        how.needs_mark = c == 'f' ? strcmp(optarg, "libvirt") == 0 : how.needs_mark;
        how.at_exit = c == 'c' ? strcmp(optarg, "exit") == 0 : how.at_exit;
        how.permissive |= c == 'p';
        how.reports |= c == 'r';
    }
    if (!dirs)
        return command_usage(&command_run, "--dir is missing");
    if (optind == argc)
        return command_usage(&command_run, "a command is missing");
    return start(argv + optind, dirs, &how);
}

const struct command command_run = {"run",
                                    "--dir DIR... [OPTION...] [--] COMMAND "
                                    "[ARGUMENT...]",
                                    "start a program whose saves are protected", help, run};
