/* rename that never replaces, also where the kernel or the file system can not do it in one step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rename.h"
#include "core/util.h"

static char place[] = "/tmp/saveseal-rename.XXXXXX";
static int old_dir, new_dir;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(place) || chdir(place) < 0 || mkdir("old", 0700) < 0 || mkdir("new", 0700) < 0)
        return -1;
    old_dir = open("old", O_PATH | O_DIRECTORY | O_CLOEXEC);
    new_dir = open("new", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return old_dir < 0 || new_dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(old_dir);
    close(new_dir);
    rmdir("old");
    rmdir("new");
    return rmdir(place);
}

/* From here on the call fails for this process; unlinkat only in the directory dir, unless that is -1. */
static void refuse(unsigned call, int error, int dir)
{
    const unsigned first_argument =
        offsetof(struct seccomp_data, args[0]); /* its low half, on little endian machines */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, first_argument),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)dir, 0, dir < 0 ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = SS_ARRAY_SIZE(code), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(99);
}

enum trouble { NONE = 0, NO_FLAG = 1, NO_CALL = 2, OLD_NAME_STAYS = 4, NEW_NAME_STAYS = 8 };

/* The result, of a process that has such trouble. */
static int rename_with(unsigned trouble)
{
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        if (trouble & NO_FLAG)
            refuse(SYS_renameat2, EINVAL, -1);
        if (trouble & NO_CALL)
            refuse(SYS_renameat2, ENOSYS, -1);
        if (trouble & OLD_NAME_STAYS)
            refuse(SYS_unlinkat, EIO, old_dir);
        if (trouble & NEW_NAME_STAYS)
            refuse(SYS_unlinkat, EIO, new_dir);
        _exit(-ss_rename_exclusive(old_dir, "a", new_dir, "b"));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static ino_t number_of(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static ino_t make(int dir, const char *name)
{
    SS_AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return number_of(dir, name);
}

static void clear(void)
{
    unlinkat(old_dir, "a", 0);
    unlinkat(new_dir, "b", 0);
}

static const unsigned ways[] = {NONE, NO_FLAG, NO_CALL};

static void it_is_moved(void **state)
{
    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(ways); i++) {
        ino_t file = make(old_dir, "a");
        assert_int_equal(rename_with(ways[i]), 0);
        assert_int_equal(number_of(old_dir, "a"), 0);
        assert_int_equal(number_of(new_dir, "b"), file);
        clear();
        assert_int_equal(rename_with(ways[i]), -ENOENT);
    }
}

static void nothing_is_replaced(void **state)
{
    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(ways); i++) {
        ino_t file = make(old_dir, "a"), other = make(new_dir, "b");
        assert_int_equal(rename_with(ways[i]), -EEXIST);
        assert_int_equal(number_of(old_dir, "a"), file);
        assert_int_equal(number_of(new_dir, "b"), other);
        clear();
        assert_int_equal(symlinkat("nowhere", new_dir, "b"), 0);
        file = make(old_dir, "a");
        assert_int_equal(rename_with(ways[i]), -EEXIST);
        assert_int_equal(number_of(old_dir, "a"), file);
        clear();
    }
}

/* Who says that it failed must not leave it done. */
static void a_failure_leaves_the_old_name_alone(void **state)
{
    (void)state;
    ino_t file = make(old_dir, "a");
    assert_int_equal(rename_with(NO_FLAG | OLD_NAME_STAYS), -EIO);
    assert_int_equal(number_of(old_dir, "a"), file);
    assert_int_equal(number_of(new_dir, "b"), 0);
    /* Where neither name can go it has the new one, and that is said. */
    assert_int_equal(rename_with(NO_FLAG | OLD_NAME_STAYS | NEW_NAME_STAYS), 0);
    assert_int_equal(number_of(new_dir, "b"), file);
    clear();
}

static void what_was_broken_off_is_finished(void **state)
{
    (void)state;
    ino_t file = make(old_dir, "a");
    assert_int_equal(linkat(old_dir, "a", new_dir, "b", 0), 0);
    /* The other name was there before: it is not taken away. */
    assert_int_equal(rename_with(NO_FLAG | OLD_NAME_STAYS), 0);
    assert_int_equal(number_of(new_dir, "b"), file);
    assert_int_equal(number_of(old_dir, "a"), file);
    assert_int_equal(rename_with(NO_FLAG), 0);
    assert_int_equal(number_of(new_dir, "b"), file);
    assert_int_equal(number_of(old_dir, "a"), 0);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_moved),
        cmocka_unit_test(nothing_is_replaced),
        cmocka_unit_test(a_failure_leaves_the_old_name_alone),
        cmocka_unit_test(what_was_broken_off_is_finished),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
