/* What /proc tells, asked about processes that this test makes. How a task closes is tested through the mount, where a
 * close can be held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/proc.h"
#include "file.h"

static void own_status(void **state)
{
    struct ss_proc_status status;

    (void)state;
    assert_int_equal(ss_proc_status(getpid(), &status), 0);
    assert_int_equal(status.tgid, getpid());
    assert_int_equal(status.ppid, getppid());
    assert_true(status.has_memory);
    assert_int_equal(status.state, 'R');
}

static void no_such_task(void **state)
{
    struct ss_proc_status status;
    struct ss_proc_close how;

    (void)state;
    assert_int_equal(ss_proc_status(0, &status), -ESRCH);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_int_equal(ss_proc_status(child, &status), -ESRCH);
    ss_proc_closing(child, &how);
    assert_int_equal(how.finding, SS_WRITER_VANISHED);
}

static pid_t zombie(int exit_status, int signal)
{
    siginfo_t info;

    pid_t child = fork();
    if (child == 0) {
        if (signal)
            raise(signal);
        _exit(exit_status);
    }
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    return child;
}

static const struct {
    int status, signal;
    enum ss_finding finding;
    int number;
} rows[] = {
    {0, 0, SS_CLEAN, 0},
    {3, 0, SS_WRITER_EXITED, 3},
    {255, 0, SS_WRITER_EXITED, 255},
    {0, SIGKILL, SS_WRITER_KILLED, SIGKILL},
    {0, SIGTERM, SS_WRITER_KILLED, SIGTERM},
};

static void ends_are_told_apart(void **state)
{
    struct ss_proc_close how;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pid_t child = zombie(rows[i].status, rows[i].signal);
        ss_proc_closing(child, &how);
        waitpid(child, NULL, 0);
        assert_int_equal(how.finding, rows[i].finding);
        assert_int_equal(how.number, rows[i].number);
        assert_true(how.exiting);
    }
}

/* The kernel remembers how a process ended since Linux 6.15. */
static bool kernel_remembers(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    uname(&name);
    return sscanf(name.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 15));
}

static void assert_row(size_t i, const struct ss_proc_close *how)
{
    assert_int_equal(how->finding, rows[i].finding);
    assert_int_equal(how->number, rows[i].number);
}

static void ends_are_seen_through_a_pidfd(void **state)
{
    struct ss_proc_close how;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pid_t child = zombie(rows[i].status, rows[i].signal);
        int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
        assert_true(pidfd >= 0);
        assert_int_equal(ss_proc_ended(pidfd, child, &how), 1);
        assert_row(i, &how);
        waitpid(child, NULL, 0);
        assert_int_equal(ss_proc_ended(pidfd, child, &how), 1);
        if (kernel_remembers())
            assert_row(i, &how);
        else
            assert_int_equal(how.finding, SS_WRITER_VANISHED);
        close(pidfd);
    }
}

/* Once it is reaped its number says nothing any more: here it is that of a process that lives. */
static void a_reused_number_is_not_asked(void **state)
{
    struct ss_proc_close how;

    (void)state;
    pid_t child = zombie(3, 0);
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    waitpid(child, NULL, 0);
    assert_int_equal(ss_proc_ended(pidfd, getpid(), &how), 1);
    assert_int_equal(how.finding, kernel_remembers() ? SS_WRITER_EXITED : SS_WRITER_VANISHED);
    close(pidfd);
}

static void a_living_process_has_not_ended(void **state)
{
    struct ss_proc_close how;

    (void)state;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    assert_int_equal(ss_proc_ended(pidfd, getpid(), &how), 0);
    close(pidfd);
}

static bool rests(pid_t pid)
{
    for (int i = 0; i < 1000 && ss_proc_is_busy(pid); i++)
        usleep(10000);
    return !ss_proc_is_busy(pid);
}

static void *spin(void *context)
{
    (void)context;
    for (;;)
        getppid();
    return NULL;
}

static void who_works_is_told_from_who_rests(void **state)
{
    pthread_t thread;

    (void)state;
    assert_true(ss_proc_is_busy(getpid()));
    pid_t resting = fork(), working = resting ? fork() : -1;
    if (resting == 0 || working == 0) {
        if (working == 0)
            pthread_create(&thread, NULL, spin, NULL);
        for (;;)
            pause();
    }
    assert_true(rests(resting));
    usleep(50000);
    assert_true(ss_proc_is_busy(working));
    kill(resting, SIGKILL);
    kill(working, SIGKILL);
    waitpid(resting, NULL, 0);
    waitpid(working, NULL, 0);
    assert_false(ss_proc_is_busy(resting));
}

static void a_living_task_closes_explicitly(void **state)
{
    struct ss_proc_close how;

    (void)state;
    ss_proc_closing(getpid(), &how);
    assert_int_equal(how.finding, SS_CLEAN);
    assert_false(how.exiting);
    assert_int_equal(how.tgid, getpid());
}

static void holds_a_descriptor(void **state)
{
    struct stat st;

    (void)state;
    int fd = temp_file();
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(ss_proc_holds(getpid(), st.st_dev, st.st_ino));
    assert_false(ss_proc_holds(getpid(), st.st_dev + 1, st.st_ino));
    close(fd);
    assert_false(ss_proc_holds(getpid(), st.st_dev, st.st_ino));
}

static void start_time_and_names(void **state)
{
    uint64_t start = 0;
    char text[4096];

    (void)state;
    assert_int_equal(ss_proc_start(getpid(), &start), 0);
    assert_true(start > 0);
    ss_proc_name(getpid(), text, sizeof text);
    assert_string_equal(text, "test_proc");
    assert_int_equal(ss_proc_exe(getpid(), text, sizeof text), 0);
    assert_non_null(strstr(text, "test_proc"));
    ss_proc_boot_id(text, sizeof text);
    assert_int_equal(strlen(text), 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_seen_through_a_pidfd),
        cmocka_unit_test(a_reused_number_is_not_asked),
        cmocka_unit_test(a_living_process_has_not_ended),
        cmocka_unit_test(who_works_is_told_from_who_rests),
        cmocka_unit_test(own_status),
        cmocka_unit_test(no_such_task),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(a_living_task_closes_explicitly),
        cmocka_unit_test(holds_a_descriptor),
        cmocka_unit_test(start_time_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
