/* saveseal errors: the table of all that Saveseal may find. */
#include <limits.h>
#include <stdio.h>

#include "command.h"
#include "json_line.h"

static const char help[] = "Prints what saveseal may find, a line each: the id, the exit status, the class,\n"
                           "the sentence, and what to do. Ids and their exit status never change.\n"
                           "\n"
                           "  --json      one JSON object a line\n"
                           "  -h, --help  this text\n";

static void print_row(const struct ss_finding_text *text)
{
    printf("%s (%d, %s)\n    %s%s%s\n", text->id, (int)text->class, ss_class_name(text->class), text->sentence,
           *text->advice ? "; " : "", text->advice);
}

static void print_object(const struct ss_finding_text *text)
{
    json_t *object = json_line_object();

    json_line_text(object, "finding", text->id);
    json_line_text(object, "class", ss_class_name(text->class));
    json_line_number(object, "exit", (uint64_t)text->class);
    json_line_text(object, "sentence", text->sentence);
    json_line_text(object, "advice", text->advice);
    json_line_text(object, "since", text->since);
    json_line_print(object);
}

static enum ss_class run(int argc, char **argv)
{
    bool json = false;
    const struct command_flag flags[] = {{"json", &json, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;

    if (command_parse(&command_errors, argc, argv, flags, 0, 0, &class) < 0)
        return class;
    for (unsigned i = 0; i < SS_FINDING_COUNT; i++)
        (json ? print_object : print_row)(ss_finding_text((enum ss_finding)i));
    return SS_CLASS_INTACT;
}

const struct command command_errors = {"errors", "[--json]", "list all findings, and what to do about them", help, run};
