/* One command of the tool: the rows of main.c's table, and what all of them do with their command line. */
#ifndef SAVESEAL_TOOLS_COMMAND_H
#define SAVESEAL_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "core/finding.h"

struct command {
    const char *name;
    const char *operands;                        /* for the usage line */
    const char *summary;                         /* one line for the list of commands */
    const char *help;                            /* the rest of its --help, 80 columns */
    enum ss_class (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command command_status, command_verify, command_show, command_discard, command_salvage, command_run,
    command_errors, command_classify, command_checkpoint, command_seal, command_quarantine, command_finish,
    command_expire, command_manifest;

/* An option, long form only; but "recursive" is -r, too, and "output" -o. */
struct command_flag {
    const char *name; /* NULL ends a list */
    bool *value;      /* set by one without a value; else NULL, and: */
    const char **text;
};

/* Reads the options. Returns the index of the first operand; or -1 with what to exit with, after --help or a wrong
 * option. At most max operands may follow and at least min must. */
int command_parse(const struct command *command, int argc, char **argv, const struct command_flag *flags, int min,
                  int max, enum ss_class *result);

/* The run of a command that takes --force and --json: does one to each name. Returns the worst class. */
enum ss_class command_each(const struct command *command, int argc, char **argv,
                           enum ss_class (*one)(const char *path, bool force, bool json));

/* Says on stderr what is wrong with the command line and how it should be. Returns SS_CLASS_INVALID. */
enum ss_class command_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void command_help(const struct command *command, FILE *stream);

#endif
