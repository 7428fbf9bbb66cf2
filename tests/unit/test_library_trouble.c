/* libsaveseal where memory or descriptors run out, in many threads, and in a process that has closed its standard
 * streams. By its header alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <saveseal.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "saved.h"

/* The sanitizers have a malloc of their own, and look for what is lost themselves. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- memory: the program's own functions take the place of the C library's, also within the library ---- */

#if !SANITIZED

/* Of the thread that asks for it. */
static _Thread_local bool counting;
static _Thread_local long left;        /* so many allocations succeed yet */
static _Thread_local bool once;        /* then one fails, and more succeed */
static _Thread_local long outstanding; /* allocated and not freed */

#define SHOWN __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *pointer);

static bool refused(void)
{
    if (!counting || left-- > 0 || (once && left < -1))
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *pointer)
{
    outstanding += counting && pointer;
    return pointer;
}

SHOWN void *malloc(size_t size)
{
    return refused() ? NULL : counted(__libc_malloc(size));
}

SHOWN void *calloc(size_t count, size_t size)
{
    return refused() ? NULL : counted(__libc_calloc(count, size));
}

SHOWN void *realloc(void *old, size_t size)
{
    if (refused())
        return NULL;
    void *moved = __libc_realloc(old, size);
    return old ? moved : counted(moved);
}

SHOWN void *aligned_alloc(size_t alignment, size_t size)
{
    return refused() ? NULL : counted(__libc_memalign(alignment, size));
}

SHOWN int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    void *memory = aligned_alloc(alignment, size);

    if (!memory)
        return ENOMEM;
    *pointer = memory;
    return 0;
}

SHOWN void free(void *pointer)
{
    outstanding -= counting && pointer;
    __libc_free(pointer);
}

typedef int check_function(const char *name, const saveseal_options *options, saveseal_result **result);

static int by_path(const char *name, const saveseal_options *options, saveseal_result **result)
{
    return saveseal_check_path(saved(name), options, result);
}

static int by_descriptor(const char *name, const saveseal_options *options, saveseal_result **result)
{
    int fd = open(saved(name), O_RDONLY | O_CLOEXEC);
    int r = saveseal_check_fd(fd, options, result);

    close(fd);
    return r;
}

static int of_bitmap(const char *name, const saveseal_options *options, saveseal_result **result)
{
    (void)options;
    return saveseal_check_bitmap(saved(name), "ck1", NULL, result);
}

/* With so much memory as for so many allocations. True when that was enough. */
static bool check_with(long allocations, check_function *check, const char *name, const saveseal_options *options,
                       const char *id)
{
    saveseal_result *result = NULL;

    left = allocations;
    counting = true;
    int r = check(name, options, &result);
    counting = false;
    if (r < 0) {
        assert_int_equal(r, -ENOMEM);
        assert_null(result);
    } else {
        assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), id);
    }
    bool enough = r == 0 && left >= 0;
    counting = true;
    saveseal_result_free(result);
    counting = false;
    return enough;
}

/* Each allocation fails, alone and with all after it: the answer is right, or there is none. id NULL: as with memory.
 */
static void fail_each(check_function *check, const char *name, const saveseal_options *options, const char *id)
{
    saveseal_result *result = NULL;

    /* Also lets other libraries allocate what they keep for themselves. */
    assert_int_equal(check(name, options, &result), 0);
    const char *found = saveseal_finding_id(saveseal_result_finding(result));
    saveseal_result_free(result);
    if (id)
        assert_string_equal(found, id);
    for (int i = 0; i < 4; i++) {
        long allocations = 0;
        once = i % 2 > 0;
        if (i == 2)
            outstanding = 0;
        while (!check_with(allocations, check, name, options, found))
            assert_true(++allocations < 10000);
        assert_true(allocations > 1);
    }
    /* In the second round libraries have what they keep, such as a thread's last error, and only replace it. */
    assert_int_equal(outstanding, 0);
}

/* What is printed on stderr goes to a file, until it is put back. */
static int divert_stderr(void)
{
    int before = dup(STDERR_FILENO), file = open(saved("stderr"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    close(file);
    return before;
}

/* How much it was: bytes. */
static off_t put_stderr_back(int before)
{
    struct stat st;

    int r = fstat(STDERR_FILENO, &st);
    dup2(before, STDERR_FILENO);
    close(before);
    return r < 0 ? r : st.st_size;
}

static void test_no_memory(void **state)
{
    saveseal_options *deep;

    (void)state;
    assert_int_equal(saveseal_options_new(&deep), 0);
    assert_int_equal(saveseal_options_set_level(deep, SAVESEAL_LEVEL_DEEP), 0);
    make_image("image");
    make_file("text", "some text", 9);
    make_qcow2("disk");
    fail_each(by_path, "image", NULL, "intact");
    fail_each(by_path, "image", deep, "intact");
    fail_each(by_descriptor, "image", NULL, "intact");
    fail_each(by_path, "text", NULL, "unsealed");
    fail_each(of_bitmap, "disk", NULL, "bitmap-missing");
    make_save("save", 0);
    make_save("packed", 1);
    int before = divert_stderr();
    fail_each(by_path, "save", deep, NULL);
    fail_each(by_path, "packed", deep, NULL);
    assert_int_equal(put_stderr_back(before), 0);
    fail_each(by_path, "disk", deep, NULL);
    int writer = make_live_draft();
    fail_each(by_path, "vm", NULL, "draft-in-progress");
    fail_each(by_path, DRAFT, NULL, "draft-in-progress");
    close(writer);
    saveseal_options_free(deep);

    left = 0;
    counting = true;
    int r = saveseal_options_new(&deep);
    counting = false;
    assert_int_equal(r, -ENOMEM);
}

#endif

/* ---- descriptors ---- */

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void test_descriptors_are_given_back(void **state)
{
    static const char *const names[] = {"image", "text", "vm", DRAFT, "nothing", "part"};
    saveseal_result *result;

    (void)state;
    make_image("image");
    make_file("text", "some text", 9);
    make_file("part", "LibvirtQemudPart", 16);
    make_qcow2("disk");
    int writer = make_live_draft();
    unsigned before = count_descriptors();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(saveseal_check_path(saved(names[i]), NULL, &result), 0);
        saveseal_result_free(result);
    }
    assert_int_equal(saveseal_check_bitmap(saved("disk"), "ck1", NULL, &result), 0);
    saveseal_result_free(result);
    assert_int_equal(saveseal_check_fd(writer, NULL, &result), 0);
    saveseal_result_free(result);
    assert_int_equal(count_descriptors(), before);
    close(writer);
}

/* What can not be opened is no answer that would still hold a moment later. */
static bool answer_or_temporary(const char *name, const char *id)
{
    saveseal_result *result = NULL;

    int r = saveseal_check_path(saved(name), NULL, &result);
    bool right = r == 0 && (strcmp(saveseal_finding_id(saveseal_result_finding(result)), id) == 0 ||
                            saveseal_result_class(result) == SAVESEAL_CLASS_TEMPORARY);
    saveseal_result_free(result);
    return right;
}

static void test_no_descriptors(void **state)
{
    struct rlimit before, few;

    (void)state;
    make_image("image");
    int writer = make_live_draft();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    int next = dup(writer); /* the lowest that is free */
    close(next);
    for (int more = 0; more < 6; more++) {
        few.rlim_cur = (rlim_t)(next + more);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        bool image = answer_or_temporary("image", "intact"), saving = answer_or_temporary("vm", "draft-in-progress"),
             draft = answer_or_temporary(DRAFT, "draft-in-progress");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(image);
        assert_true(saving);
        assert_true(draft);
    }
    close(writer);
}

/* Its files then have the numbers of the streams. */
static void test_closed_streams(void **state)
{
    int status;

    (void)state;
    make_image("image");
    int writer = make_live_draft();
    pid_t child = fork();
    if (child == 0) {
        saveseal_result *image = NULL, *draft = NULL;
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        bool right = saveseal_check_path(saved("image"), NULL, &image) == 0 && saveseal_result_class(image) == 0 &&
                     saveseal_check_path(saved("vm"), NULL, &draft) == 0 &&
                     saveseal_result_class(draft) == SAVESEAL_CLASS_TEMPORARY;
        for (int fd = 0; fd < 3; fd++)
            right = right && fcntl(fd, F_GETFD) < 0;
        saveseal_result_free(image);
        saveseal_result_free(draft);
        _exit(right ? 42 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 42 << 8);
    close(writer);
}

/* ---- files that change ---- */

static const char *changes; /* the file that is spoilt as soon as its seal was read */
static atomic_uint seals_read;

__attribute__((visibility("default"))) ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    static const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1}};
    ssize_t len = syscall(SYS_fgetxattr, fd, name, value, size);

    atomic_fetch_add(&seals_read, strcmp(name, "user.saveseal.seal") == 0);
    if (changes && strcmp(name, "user.saveseal.seal") == 0) {
        spoil(changes, 20);
        assert_int_equal(utimensat(AT_FDCWD, saved(changes), times, 0), 0);
        changes = NULL;
    }
    return len;
}

static void check_changing(const char *name, enum saveseal_level level, const char *id)
{
    saveseal_options *options = NULL;
    saveseal_result *result = NULL;

    assert_int_equal(saveseal_options_new(&options), 0);
    assert_int_equal(saveseal_options_set_level(options, level), 0);
    changes = name;
    assert_int_equal(saveseal_check_path(saved(name), options, &result), 0);
    assert_null(changes);
    assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), id);
    saveseal_result_free(result);
    saveseal_options_free(options);
}

/* Whoever writes a new image over an old one, seal and all, makes no damaged one. */
static void test_changing(void **state)
{
    (void)state;
    for (int level = SAVESEAL_LEVEL_QUICK; level <= SAVESEAL_LEVEL_DEEP; level++) {
        make_image("image");
        check_changing("image", (enum saveseal_level)level, "changed-while-reading");
    }
    make_file("text", "some text", 9);
    check_changing("text", SAVESEAL_LEVEL_WHOLE, "changed-while-reading");
    make_file("part", "LibvirtQemudPart.........", 25);
    check_changing("part", SAVESEAL_LEVEL_QUICK, "changed-while-reading");
}

/* For a name that is not there the drafts are looked at, and not all the images beside it. */
static void test_absent(void **state)
{
    saveseal_result *result;

    (void)state;
    make_image("image");
    make_image("another");
    seals_read = 0;
    assert_int_equal(saveseal_check_path(saved("vm"), NULL, &result), 0);
    assert_string_equal(saveseal_finding_id(saveseal_result_finding(result)), "not-found");
    assert_int_equal(seals_read, 0);
    saveseal_result_free(result);
}

/* ---- threads ---- */

/* Good forever. */
static const char *found_in(const char *name, const saveseal_options *options)
{
    saveseal_result *result = NULL;

    assert_int_equal(saveseal_check_path(saved(name), options, &result), 0);
    const char *id = saveseal_finding_id(saveseal_result_finding(result));
    saveseal_result_free(result);
    return id;
}

#define THREADS 4
#define STACK ((size_t)256 << 10) /* bytes; libsaveseal(3) asks for twice that */
#define ROUNDS 25

static atomic_uint wrong; /* cmocka's assertions are for the main thread */

static void expect(const char *name, const saveseal_options *options, const char *id)
{
    saveseal_result *result = NULL;

    if (saveseal_check_path(saved(name), options, &result) != 0 ||
        strcmp(saveseal_finding_id(saveseal_result_finding(result)), id) != 0 || !saveseal_result_text(result))
        atomic_fetch_add(&wrong, 1);
    saveseal_result_free(result);
}

static const char *of_save, *of_packed; /* what the main thread found in them */

static void *check_all(void *options)
{
    saveseal_result *result = NULL;

    for (int i = 0; i < ROUNDS; i++) {
        expect("image", options, "intact");
        expect("text", NULL, "unsealed");
        expect("vm", options, "draft-in-progress");
        expect("part", options, "format-incomplete");
        expect("save", options, of_save);
        expect("packed", options, of_packed);
        if (saveseal_check_bitmap(saved("disk"), "ck1", NULL, &result) != 0 ||
            saveseal_result_class(result) != SAVESEAL_CLASS_CHECKPOINT_INCONSISTENT)
            atomic_fetch_add(&wrong, 1);
        saveseal_result_free(result);
    }
    expect("long", options, "intact");
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    saveseal_options *options;
    sigset_t before, after;
    pthread_attr_t small;

    (void)state;
    make_image("image");
    make_long("long");
    make_file("text", "some text", 9);
    make_file("part", "LibvirtQemudPart", 16);
    make_save("save", 0);
    make_save("packed", 1);
    make_qcow2("disk");
    int writer = make_live_draft();
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(saveseal_options_new(&options), 0);
    assert_int_equal(saveseal_options_set_level(options, SAVESEAL_LEVEL_DEEP), 0);
    of_save = found_in("save", options);
    of_packed = found_in("packed", options);
    pthread_attr_init(&small);
    if (!SANITIZED)
        assert_int_equal(pthread_attr_setstacksize(&small, STACK), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], &small, check_all, options), 0);
    check_all(options);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_attr_destroy(&small);
    assert_int_equal(wrong, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < SIGRTMIN; number++)
        assert_int_equal(sigismember(&after, number), number == SIGUSR2);
    saveseal_options_free(options);
    close(writer);
}

struct cancelling {
    saveseal_options *options;
    int result;
};

/* Goes on until it is cancelled: each time the long file, which takes some milliseconds. */
static void *check_without_end(void *argument)
{
    struct cancelling *it = argument;
    saveseal_result *result;

    do {
        result = NULL;
        it->result = saveseal_check_path(saved("long"), it->options, &result);
        saveseal_result_free(result);
    } while (it->result == 0);
    return NULL;
}

static void test_cancel_from_outside(void **state)
{
    struct cancelling it = {0};
    pthread_t thread;

    (void)state;
    make_long("long");
    assert_int_equal(saveseal_options_new(&it.options), 0);
    assert_int_equal(pthread_create(&thread, NULL, check_without_end, &it), 0);
    usleep(20000);
    saveseal_options_cancel(it.options);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(it.result, -ECANCELED);
    saveseal_options_free(it.options);
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_saved_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
#if !SANITIZED
        TEST(test_no_memory),
#endif
        TEST(test_descriptors_are_given_back),
        TEST(test_no_descriptors),
        TEST(test_closed_streams),
        TEST(test_changing),
        TEST(test_absent),
        TEST(test_threads),
        TEST(test_cancel_from_outside),
    };

    return cmocka_run_group_tests(tests, make_saved_dir, remove_saved_dir);
}
