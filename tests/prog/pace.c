/* pace ARG...: stands in the way of libvirt's libvirt_iohelper, so that the middle of a save lasts as long as a test
 * needs it. It runs the real one, unmodified and as the same process, but between it and QEMU there is a second pipe:
 *
 *   PACE   while this file exists, only the MIB that it names go through at once; then SLOW bytes every NAP_MS, so that
 * the save goes on and does not come to its end. Without the file (also when it is removed meanwhile) all goes through.
 *   PACED  is then written: the helper's pid.
 *
 * Not linked to any library, so that none is loaded into it: the real helper is where saveseal run begins to matter. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL "/run/iohelper/libvirt_iohelper" /* its last part is the process's name */
#define PACE "/run/pace"
#define PACED "/run/paced"
#define SLOW ((size_t)128 << 10)
#define NAP_MS 20

static void tell(pid_t helper)
{
    FILE *file = fopen(PACED ".new", "w");

    if (!file || fprintf(file, "%d\n", (int)helper) < 0 || fclose(file) != 0 || rename(PACED ".new", PACED) != 0)
        _exit(1);
}

static void put(const char *buf, ssize_t len)
{
    for (ssize_t n; len > 0; buf += n, len -= n)
        if ((n = write(STDOUT_FILENO, buf, (size_t)len)) <= 0)
            _exit(1);
}

/* From standard input to standard output. */
static void pass_on(long long fast, pid_t helper)
{
    static char buf[SLOW];
    bool told = false;
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
        put(buf, n);
        fast -= n;
        if (fast > 0 || access(PACE, F_OK) != 0)
            continue;
        if (!told)
            tell(helper);
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000L}, NULL);
    }
    _exit(0);
}

/* In the pacer, which must not hold the image that the helper writes. */
static void pace(const int ends[2], long mib, pid_t helper)
{
    signal(SIGPIPE, SIG_DFL); /* ends with the helper */
    dup2(ends[1], STDOUT_FILENO);
    close_range(STDERR_FILENO, ~0U, 0);
    pass_on((long long)mib << 20, helper);
}

int main(int argc, char **argv)
{
    FILE *file = fopen(PACE, "r");
    pid_t helper = getpid();
    struct stat input;
    long mib;
    int ends[2];

    (void)argc;
    if (file) {
        bool is_save = fscanf(file, "%ld", &mib) == 1 && fstat(STDIN_FILENO, &input) == 0 && S_ISFIFO(input.st_mode);
        fclose(file);
        if (is_save && pipe(ends) == 0) {
            if (fork() == 0)
                pace(ends, mib, helper);
            dup2(ends[0], STDIN_FILENO);
            close(ends[0]);
            close(ends[1]);
        }
    }
    argv[0] = (char[]){REAL};
    execv(REAL, argv);
    perror(REAL);
    return 1;
}
