/* saveseal classify: what to do about an error of libvirt. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "core/libvirt_error.h"
#include "core/util.h"
#include "json_line.h"
#include "report.h"

#define MESSAGE_MAX 65536

static const char help[] = "Says what an error of libvirt means for what to do next. The exit status is\n"
                           "that of the class: 1 never try again, 2 the request was wrong, 3 try again\n"
                           "later, 4 the message does not tell, 5 the checkpoint is broken: take a full\n"
                           "backup.\n"
                           "\n"
                           "  --libvirt-code N  the code of the error (virErrorNumber), if it is known\n"
                           "  --message TEXT    its message; without both, what virsh printed is read from\n"
                           "                    the standard input. In English: run virsh with LC_ALL=C\n"
                           "  --json            one JSON object\n"
                           "  -h, --help        this text\n";

/* The standard input, or as much of it as a message may have. */
static bool read_message(char message[MESSAGE_MAX])
{
    size_t len = fread(message, 1, MESSAGE_MAX - 1, stdin);

    for (size_t i = 0; i < len; i++)
        if (message[i] == '\0')
            message[i] = ' ';
    message[len] = '\0';
    return !ferror(stdin);
}

static void print(enum ss_finding finding, bool json)
{
    struct ss_judgement why;

    ss_judge(&why, finding, "%s", "");
    if (json) {
        json_t *object = json_line_object();
        json_line_judgement(object, &why);
        json_line_print(object);
        return;
    }
    SS_AUTO_FREE char *text = judgement_text(&why);
    puts(text);
}

/* 0 also when there is none. */
static bool parse_code(const char *text, int *code)
{
    char *end;

    *code = 0;
    if (!text)
        return true;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end || value < 0 || value > INT_MAX)
        return false;
    *code = (int)value;
    return true;
}

static enum ss_class run(int argc, char **argv)
{
    static char read[MESSAGE_MAX];
    const char *number = NULL, *message = NULL;
    bool json = false;
    const struct command_flag flags[] = {
        {"libvirt-code", NULL, &number}, {"message", NULL, &message}, {"json", &json, NULL}, {NULL, NULL, NULL}};
    enum ss_class class;
    int code;

    if (command_parse(&command_classify, argc, argv, flags, 0, 0, &class) < 0)
        return class;
    if (!parse_code(number, &code))
        return command_usage(&command_classify, "--libvirt-code: %s is no number of an error", number);
    if (!message && !number) {
        if (!read_message(read)) {
            report("io-error: the standard input can not be read");
            return SS_CLASS_TEMPORARY;
        }
        message = read;
    }
    enum ss_finding finding = ss_libvirt_finding(code, message ? message : "");
    print(finding, json);
    return ss_finding_text(finding)->class;
}

const struct command command_classify = {"classify", "[--json] [--libvirt-code N] [--message TEXT]",
                                         "say what to do about an error of libvirt", help, run};
