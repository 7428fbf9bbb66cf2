/* saveseal: says what is whole in a save directory, what is damaged, and what to do about it. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "core/util.h"
#include "report.h"
#include "text.h"

#define MALLOC_KEEP (256 << 10) /* bytes */

static const struct command *const commands[] = {
    &command_status, &command_verify,     &command_show,       &command_discard,  &command_salvage,
    &command_seal,   &command_quarantine, &command_finish,     &command_expire,   &command_run,
    &command_errors, &command_classify,   &command_checkpoint, &command_manifest,
};

static void print_help(FILE *stream)
{
    fputs("Usage: saveseal COMMAND [OPTION...] NAME...\n"
          "       saveseal COMMAND --help\n"
          "\n"
          "Says what is whole in a save directory, what is damaged, and what to do about\n"
          "it. Names may be those in the directory or those on its savesealfs mount.\n"
          "\n"
          "Commands:\n",
          stream);
    for (size_t i = 0; i < SS_ARRAY_SIZE(commands); i++)
        fprintf(stream, "  %-16s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "Exit status: 0 intact or done, 1 damaged, 2 the request was wrong,\n"
          "3 temporary: try again, 4 nothing is known, 5 inconsistent checkpoint.\n"
          "\n"
          "Options:\n"
          "  -h, --help     this text\n"
          "  -V, --version  the version\n",
          stream);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static enum ss_class unknown_command(const char *name)
{
    SS_AUTO_FREE char *quoted = text_quote(name);

    report("usage: there is no command %s; see saveseal --help. The commands are:", quoted);
    for (size_t i = 0; i < SS_ARRAY_SIZE(commands); i++)
        fprintf(stderr, "  %s\n", commands[i]->name);
    return SS_CLASS_INVALID;
}

static enum ss_class run(int argc, char **argv)
{
    if (argc < 2) {
        report("usage: a command is missing");
        fputc('\n', stderr);
        print_help(stderr);
        return SS_CLASS_INVALID;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return SS_CLASS_INTACT;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("saveseal " SAVESEAL_VERSION);
        return SS_CLASS_INTACT;
    }
    const struct command *command = find_command(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}

/* What a check has taken much of goes back when it is freed, whatever thread that was in: by default glibc keeps up to
 * 32 MiB a thread. */
static void keep_little_memory(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP);
    mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP);
#endif
}

/* No file of ours may get the number of a stream that is closed, or what is told would be written into it. These are
 * for reading, so that a write is the error that it was, and a program that run starts does not get them. */
static void hold_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_streams();
    keep_little_memory();
    enum ss_class class = run(argc, argv);

    /* An answer that did not reach its reader is none. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report("io-error: could not write to the standard output");
        class = ss_class_worse(class, SS_CLASS_TEMPORARY);
    }
    return (int)class;
}
