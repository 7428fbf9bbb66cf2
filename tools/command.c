#include "command.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "report.h"
#include "text.h"

#define FLAGS_MAX 16

void command_help(const struct command *command, FILE *stream)
{
    fprintf(stream, "Usage: saveseal %s %s\n\n%s", command->name, command->operands, command->help);
}

enum ss_class command_usage(const struct command *command, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    report("%s: %s: %s", command->name, ss_finding_text(SS_USAGE)->id, n < 0 ? "wrong command line" : text);
    free(n < 0 ? NULL : text);
    fputc('\n', stderr);
    command_help(command, stderr);
    return SS_CLASS_INVALID;
}

static enum ss_class wrong_option(const struct command *command, char **argv)
{
    /* For a cluster of short options optind may not have moved yet; then the word is still to come. */
    const char *word = optopt > 0 && optopt < 0x7f && argv[optind] && argv[optind][0] == '-' && argv[optind][1] != '-'
                           ? argv[optind]
                           : argv[optind - 1];
    SS_AUTO_FREE char *quoted = text_quote(word);

    return command_usage(command, "unknown option %s (a name that starts with '-' goes after '--')", quoted);
}

/* The options that have a letter, too. */
static const struct {
    char letter;
    const char *name;
} letters[] = {{'r', "recursive"}, {'o', "output"}};

#define SHORTS_MAX (4 + 2 * SS_ARRAY_SIZE(letters))

static const struct command_flag *find_name(const struct command_flag *flags, const char *name)
{
    for (; flags->name; flags++)
        if (strcmp(flags->name, name) == 0)
            return flags;
    return NULL;
}

/* What getopt wants: the letters of the options that the command has. */
static void short_options(const struct command_flag *flags, char shorts[SHORTS_MAX])
{
    char *to = stpcpy(shorts, ":h");

    for (size_t i = 0; i < SS_ARRAY_SIZE(letters); i++) {
        const struct command_flag *flag = find_name(flags, letters[i].name);
        if (flag)
            *to++ = letters[i].letter;
        if (flag && flag->text)
            *to++ = ':';
    }
    *to = '\0';
}

static const struct command_flag *find_flag(const struct command_flag *flags, int c)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(letters); i++)
        if (c == letters[i].letter)
            return find_name(flags, letters[i].name);
    return &flags[c - 0x100];
}

int command_parse(const struct command *command, int argc, char **argv, const struct command_flag *flags, int min,
                  int max, enum ss_class *result)
{
    char shorts[SHORTS_MAX];
    struct option options[FLAGS_MAX + 2] = {{"help", no_argument, NULL, 'h'}};

    for (int i = 0; i < FLAGS_MAX && flags[i].name; i++)
        options[i + 1] =
            (struct option){flags[i].name, flags[i].text ? required_argument : no_argument, NULL, 0x100 + i};
    short_options(flags, shorts);
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (int c; (c = getopt_long(argc, argv, shorts, options, NULL)) != -1;) {
        if (c == 'h') {
            command_help(command, stdout);
            *result = SS_CLASS_INTACT;
            return -1;
        }
        if (c == '?') {
            *result = wrong_option(command, argv);
            return -1;
        }
        if (c == ':') {
            *result = command_usage(command, "%s needs a value", argv[optind - 1]);
            return -1;
        }
        const struct command_flag *flag = find_flag(flags, c);
        if (flag->text)
            *flag->text = optarg;
        else
            *flag->value = true;
    }
    if (argc - optind < min || argc - optind > max) {
        *result = command_usage(command, "%s", argc - optind < min ? "a name is missing" : "too many names");
        return -1;
    }
    return optind;
}

enum ss_class command_each(const struct command *command, int argc, char **argv,
                           enum ss_class (*one)(const char *path, bool force, bool json))
{
    bool force = false, json = false;
    const struct command_flag flags[] = {{"force", &force, NULL}, {"json", &json, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;

    int first = command_parse(command, argc, argv, flags, 1, INT_MAX, &class);
    if (first < 0)
        return class;
    class = SS_CLASS_INTACT;
    for (int i = first; i < argc; i++) {
        class = ss_class_worse(class, one(argv[i], force, json));
        fflush(stdout); /* the next may take minutes */
    }
    return class;
}
