/* peak FILE COMMAND...: runs it, and writes to FILE how much memory it had at most, in KiB. Exits as it does; 128 and
 * the number of the signal that ended it, or 99 when it could not be run. It is small itself: what a process had before
 * exec counts, too. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;

    if (argc < 3)
        return 99;
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(99);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 99;
    FILE *file = fopen(argv[1], "w");
    if (!file || fprintf(file, "%ld\n", usage.ru_maxrss) < 0 || fclose(file) != 0)
        return 99;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
