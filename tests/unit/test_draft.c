/* Drafts on disk: record codec, lock, publication, recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/draft.h"
#include "core/util.h"

static char place[] = "/tmp/saveseal-draft.XXXXXX";
static int dir;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(place))
        return -1;
    dir = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    DIR *stream = opendir(place);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        unlinkat(dir, entry->d_name, 0);
    closedir(stream);
    close(dir);
    return rmdir(place);
}

static const struct ss_draft_base none;

static struct ss_draft_record sample(const char *target)
{
    struct ss_draft_record record = {.state = SS_DRAFT_WRITING, .reason = SS_CLEAN, .pid = 42, .start = 7};

    snprintf(record.target, sizeof record.target, "%s", target);
    snprintf(record.writer, sizeof record.writer, "dd");
    record.opened = 1700000000;
    return record;
}

static int make(const char *target, char name[SS_DRAFT_NAME_SIZE])
{
    struct ss_draft_record record = sample(target);
    int fd = -1;

    assert_int_equal(ss_draft_create(dir, 0600, &record, name, &fd), 0);
    return fd;
}

static bool there(const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void record_survives_the_codec(void **state)
{
    struct ss_draft_record record = sample("a b=%\n\xff"), back;
    char text[SS_RECORD_MAX];

    (void)state;
    record.state = SS_DRAFT_INTERRUPTED;
    record.reason = SS_WRITER_KILLED;
    record.exclusive = true;
    record.ended = 1700000001;
    snprintf(record.detail, sizeof record.detail, "writer killed by signal 9");
    ssize_t n = ss_draft_encode(&record, text, sizeof text);
    assert_true(n > 0);
    assert_int_equal(ss_draft_decode(text, (size_t)n, &back), 0);
    assert_string_equal(back.target, record.target);
    assert_string_equal(back.detail, record.detail);
    assert_int_equal(back.reason, SS_WRITER_KILLED);
    assert_int_equal(back.pid, 42);
    assert_int_equal(back.opened, 1700000000);
    assert_int_equal(back.ended, 1700000001);
    assert_true(back.exclusive);
    assert_int_equal(back.base.ino, 0);
    record.base = (struct ss_draft_base){UINT64_MAX, 1700000000123456789};
    n = ss_draft_encode(&record, text, sizeof text);
    assert_true(n > 0);
    assert_int_equal(ss_draft_decode(text, (size_t)n, &back), 0);
    assert_true(back.base.ino == UINT64_MAX && back.base.born == 1700000000123456789);
}

static void bad_records_are_refused(void **state)
{
    static const char *const bad[] = {
        "saveseal/1 state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z",                    /* no target */
        "saveseal/1 target=a pid=1 start=1 opened=2023-11-14T22:13:20Z",                         /* no state */
        "saveseal/1 target=.. state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z",          /* leads out */
        "saveseal/1 target=a/b state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z",         /* leads elsewhere */
        "saveseal/1 target=.saveseal.x state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z", /* ours */
        "saveseal/1 target=a state=flying pid=1 start=1 opened=2023-11-14T22:13:20Z",            /* unknown state */
        "saveseal/1 target=a state=interrupted pid=1 start=1 opened=2023-11-14T22:13:20Z",       /* no reason */
        "saveseal/1 target=a state=interrupted reason=weather pid=1 start=1 opened=2023-11-14T22:13:20Z",   /* unknown
                                                                                                               reason */
        "saveseal/1 target=a state=writing reason=writer-killed pid=1 start=1 opened=2023-11-14T22:13:20Z", /* too early
                                                                                                             */
        "saveseal/1 target=a state=writing pid=-1 start=1 opened=2023-11-14T22:13:20Z",                     /* sign */
        "saveseal/1 target=a state=writing pid=4294967296 start=1 opened=2023-11-14T22:13:20Z",             /* no pid */
        "saveseal/1 target=a state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z exclusive=no", /* only yes */
        "saveseal/1 target=a state=writing pid=1 start=1",                                          /* no time */
    };
    struct ss_draft_record record;

    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(bad); i++)
        assert_int_equal(ss_draft_decode(bad[i], strlen(bad[i]), &record), -EBADMSG);
}

static void write_keeps_unknown_keys(void **state)
{
    char name[SS_DRAFT_NAME_SIZE], text[SS_RECORD_MAX];
    int fd = make("keep", name);
    const char *line = "saveseal/1 target=keep state=writing pid=1 start=1 opened=2023-11-14T22:13:20Z colour=blue";
    struct ss_draft_record record;

    (void)state;
    assert_int_equal(fsetxattr(fd, SS_DRAFT_XATTR, line, strlen(line), 0), 0);
    assert_int_equal(ss_draft_read(fd, &record), 0);
    record.state = SS_DRAFT_WAIT;
    assert_int_equal(ss_draft_write(fd, &record), 0);
    ssize_t n = fgetxattr(fd, SS_DRAFT_XATTR, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "colour=blue"));
    assert_non_null(strstr(text, "state=waiting"));
    close(fd);
}

/* The first to say interrupted says when; who says it again, or does not know, leaves that. */
static void write_notes_the_end(void **state)
{
    char name[SS_DRAFT_NAME_SIZE];
    SS_AUTO_CLOSE int fd = make("ends", name);
    struct ss_draft_record record = sample("ends"), back;
    time_t before = time(NULL);

    (void)state;
    record.state = SS_DRAFT_INTERRUPTED;
    record.reason = SS_WRITER_KILLED;
    assert_int_equal(ss_draft_write(fd, &record), 0);
    assert_int_equal(ss_draft_read(fd, &back), 0);
    assert_true(back.ended >= before && back.ended <= time(NULL));
    back.ended = 1700000001;
    assert_int_equal(ss_draft_write(fd, &back), 0);
    assert_int_equal(ss_draft_write(fd, &record), 0);
    assert_int_equal(ss_draft_read(fd, &back), 0);
    assert_int_equal(back.ended, 1700000001);
    record.state = SS_DRAFT_WAIT;
    assert_int_equal(ss_draft_write(fd, &record), 0);
    assert_int_equal(ss_draft_read(fd, &back), 0);
    assert_int_equal(back.ended, 0);
    unlinkat(dir, name, 0);
}

static void lock_dies_with_its_holder(void **state)
{
    char name[SS_DRAFT_NAME_SIZE];
    int fd = make("locked", name);
    int other = openat(dir, name, O_RDWR | O_CLOEXEC), reader = openat(dir, name, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(ss_draft_is_live(reader), 1);
    assert_int_equal(ss_draft_lock(other), -EAGAIN);
    close(fd);
    assert_int_equal(ss_draft_is_live(reader), 0); /* though it is open for writing */
    assert_int_equal(ss_draft_lock(other), 0);
    assert_int_equal(ss_draft_is_live(reader), 1);
    assert_int_equal(ss_draft_unlock(other), 0);
    close(other);
    assert_int_equal(ss_draft_is_live(reader), 0);
    close(reader);
}

static void without_a_lock_it_lives_while_it_is_written(void **state)
{
    struct ss_draft_record record = sample("unlocked");
    char name[SS_DRAFT_NAME_SIZE];
    record.preload = true;
    int fd = ss_draft_create_open(dir, O_WRONLY | O_APPEND | O_CLOEXEC, 0400, &record, name);
    int reader = openat(dir, name, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0 && reader >= 0);
    assert_true(ss_draft_is_written(reader));
    assert_int_equal(ss_draft_is_live(reader), 1);
    assert_int_equal(ss_draft_recover(dir, name, &record), -EAGAIN);
    assert_int_equal(ftruncate(fd, 4096), 0);
    void *map = mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_ptr_equal(map, MAP_FAILED); /* O_WRONLY */
    close(fd);
    assert_false(ss_draft_is_written(reader));
    assert_int_equal(ss_draft_recover(dir, name, &record), 0);
    assert_int_equal(record.state, SS_DRAFT_INTERRUPTED);
    fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    assert_true(ss_draft_is_written(reader));
    assert_int_equal(ss_draft_is_live(reader), 0); /* interrupted, whoever has it open */
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    close(fd);
    assert_true(ss_draft_is_written(reader)); /* through the mapping */
    munmap(map, 4096);
    assert_false(ss_draft_is_written(reader));
    close(reader);
}

static void publish_replaces_unless_exclusive(void **state)
{
    char first[SS_DRAFT_NAME_SIZE], second[SS_DRAFT_NAME_SIZE], third[SS_DRAFT_NAME_SIZE];
    int a = make("image", first), b = make("image", second), c = make("image", third);

    (void)state;
    assert_int_equal(ss_draft_publish(dir, first, a, "image", true, &none), 0);
    assert_true(there("image") && !there(first));
    assert_int_equal(ss_draft_publish(dir, second, b, "image", true, &none), -EEXIST);
    assert_true(there(second));
    assert_int_equal(ss_draft_publish(dir, third, c, "image", false, &none), 0);
    assert_int_equal(fgetxattr(c, SS_DRAFT_XATTR, NULL, 0), -1);
    close(a);
    close(b);
    close(c);
}

/* Makes an image, and a draft that began as a copy of it. */
static int make_edit(const char *target, char name[SS_DRAFT_NAME_SIZE], struct ss_draft_base *base)
{
    char first[SS_DRAFT_NAME_SIZE];
    int fd = make(target, first);

    assert_int_equal(ss_draft_publish(dir, first, fd, target, false, &none), 0);
    assert_int_equal(ss_draft_base_of(fd, base), 0);
    assert_true(base->ino != 0);
    close(fd);
    return make(target, name);
}

static void publish_replaces_only_what_was_copied(void **state)
{
    char edit[SS_DRAFT_NAME_SIZE], whole[SS_DRAFT_NAME_SIZE];
    struct ss_draft_base base;
    struct ss_draft_record record;

    (void)state;
    int fd = make_edit("edited", edit, &base);
    assert_false(ss_draft_base_lost(dir, "edited", &base));
    assert_int_equal(ss_draft_publish(dir, edit, fd, "edited", false, &base), 0);
    close(fd);

    fd = make_edit("gone", edit, &base); /* nobody's version is lost */
    unlinkat(dir, "gone", 0);
    assert_false(ss_draft_base_lost(dir, "gone", &base));
    assert_int_equal(ss_draft_publish(dir, edit, fd, "gone", false, &base), 0);
    close(fd);

    fd = make_edit("raced", edit, &base);
    int other = make("raced", whole);
    assert_int_equal(ss_draft_publish(dir, whole, other, "raced", false, &none), 0);
    assert_true(ss_draft_base_lost(dir, "raced", &base));
    assert_int_equal(ss_draft_publish(dir, edit, fd, "raced", false, &base), -EEXIST);
    assert_true(ss_draft_still_named(dir, "raced", other) && ss_draft_still_named(dir, edit, fd));
    assert_int_equal(ss_draft_read(fd, &record), 0);
    assert_false(ss_draft_base_lost(dir, "raced", &none));
    assert_int_equal(ss_draft_base_of(other, &base), 0);
    if (base.born != 0) {
        base.born++; /* its number, but not that file */
        assert_true(ss_draft_base_lost(dir, "raced", &base));
    }
    close(other);
    close(fd);
}

static void recover_names_the_reason(void **state)
{
    char name[SS_DRAFT_NAME_SIZE];
    struct ss_draft_record record;
    int fd = make("lost", name);

    (void)state;
    assert_int_equal(ss_draft_recover(dir, name, &record), -EAGAIN); /* live */
    close(fd);
    assert_int_equal(ss_draft_recover(dir, name, &record), 0);
    assert_int_equal(record.state, SS_DRAFT_INTERRUPTED);
    assert_int_equal(record.reason, SS_DAEMON_DIED);
    assert_false(there("lost"));
    assert_int_equal(ss_draft_recover(dir, name, &record), 0); /* and stays so */
    assert_int_equal(record.reason, SS_DAEMON_DIED);
}

/* A committed draft whose bytes all agree with its seal lacks only the rename; one that does not is not published. */
static void recover_finishes_a_commitment(void **state)
{
    char name[SS_DRAFT_NAME_SIZE];
    struct ss_draft_record record = sample("committed");
    struct ss_seal seal;

    (void)state;
    for (int torn = 1; torn >= 0; torn--) {
        int fd = make("committed", name);
        assert_int_equal(pwrite(fd, "whole image", 11, 0), 11);
        assert_int_equal(ss_seal_make(fd, 11, true, "test", NULL, &seal), 0);
        assert_int_equal(ss_seal_write(fd, &seal), 0);
        record = sample("committed");
        record.state = SS_DRAFT_PREPARED;
        assert_int_equal(ss_draft_write(fd, &record), 0);
        if (torn)
            assert_int_equal(pwrite(fd, "W", 1, 0), 1);
        close(fd);
        assert_int_equal(ss_draft_recover(dir, name, &record), torn ? 0 : 1);
        assert_int_equal(there("committed"), !torn);
    }
}

/* One that began as a copy of what is not there any more is not published over what is. */
static void recover_replaces_only_what_was_copied(void **state)
{
    char name[SS_DRAFT_NAME_SIZE], whole[SS_DRAFT_NAME_SIZE];
    struct ss_draft_record record = sample("recopied");
    struct ss_seal seal;

    (void)state;
    int fd = make_edit("recopied", name, &record.base);
    assert_int_equal(pwrite(fd, "whole image", 11, 0), 11);
    assert_int_equal(ss_seal_make(fd, 11, true, "test", NULL, &seal), 0);
    assert_int_equal(ss_seal_write(fd, &seal), 0);
    record.state = SS_DRAFT_PREPARED;
    assert_int_equal(ss_draft_write(fd, &record), 0);
    int other = make("recopied", whole);
    assert_int_equal(ss_draft_publish(dir, whole, other, "recopied", false, &none), 0);
    close(fd);
    assert_int_equal(ss_draft_recover(dir, name, &record), 0);
    assert_int_equal(record.reason, SS_NAME_TAKEN);
    assert_true(ss_draft_still_named(dir, "recopied", other) && there(name));
    close(other);
}

static void set_aside_hides_an_image(void **state)
{
    struct ss_draft_record record = sample("bad"), found;
    char name[SS_DRAFT_NAME_SIZE];

    (void)state;
    int fd = openat(dir, "bad", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    record.state = SS_DRAFT_INTERRUPTED;
    record.reason = SS_HEADER_MISMATCH;
    assert_int_equal(ss_draft_set_aside(dir, fd, &record, name), 0);
    assert_false(there("bad"));
    assert_true(ss_draft_still_named(dir, name, fd));
    assert_int_equal(ss_draft_read(fd, &found), 0);
    assert_string_equal(found.target, "bad");
    assert_int_equal(found.reason, SS_HEADER_MISMATCH);
    assert_int_equal(ss_draft_set_aside(dir, fd, &record, name), -ESTALE);
    close(fd);
}

static void *save_new_version(void *context)
{
    usleep(*(useconds_t *)context);
    renameat(dir, "new", dir, "renewed");
    return NULL;
}

static void set_aside_leaves_a_newer_version(void **state)
{
    (void)state;
    for (useconds_t pause = 0; pause < 2000; pause += 20) {
        struct ss_draft_record record = sample("renewed");
        char name[SS_DRAFT_NAME_SIZE];
        pthread_t saver;
        SS_AUTO_CLOSE int old = openat(dir, "renewed", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        SS_AUTO_CLOSE int new = openat(dir, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(pthread_create(&saver, NULL, save_new_version, &pause), 0);
        int r = ss_draft_set_aside(dir, old, &record, name);
        pthread_join(saver, NULL);
        assert_true(r == 0 || r == -ESTALE);
        assert_true(ss_draft_still_named(dir, "renewed", new));
        if (r == 0)
            assert_true(ss_draft_still_named(dir, name, old));
        unlinkat(dir, "renewed", 0);
    }
}

/* After a crash between the two steps of a rename that must not replace: rename does nothing between two names of one
 * file. */
static void publish_leaves_one_name(void **state)
{
    (void)state;
    char name[SS_DRAFT_NAME_SIZE];
    SS_AUTO_CLOSE int fd = make("twice", name);

    assert_int_equal(linkat(dir, name, dir, "twice", 0), 0);
    assert_int_equal(ss_draft_publish(dir, name, fd, "twice", false, &none), 0);
    assert_true(ss_draft_still_named(dir, "twice", fd));
    assert_int_equal(faccessat(dir, name, F_OK, 0), -1);
    unlinkat(dir, "twice", 0);
}

static void reserved_names(void **state)
{
    (void)state;
    assert_true(ss_draft_reserved(".saveseal."));
    assert_true(ss_draft_reserved(".saveseal.0123456789abcdef"));
    assert_false(ss_draft_reserved(".saveseal"));
    assert_false(ss_draft_reserved("saveseal."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_survives_the_codec),
        cmocka_unit_test(bad_records_are_refused),
        cmocka_unit_test(write_keeps_unknown_keys),
        cmocka_unit_test(write_notes_the_end),
        cmocka_unit_test(lock_dies_with_its_holder),
        cmocka_unit_test(without_a_lock_it_lives_while_it_is_written),
        cmocka_unit_test(publish_replaces_unless_exclusive),
        cmocka_unit_test(publish_replaces_only_what_was_copied),
        cmocka_unit_test(publish_leaves_one_name),
        cmocka_unit_test(recover_names_the_reason),
        cmocka_unit_test(recover_finishes_a_commitment),
        cmocka_unit_test(recover_replaces_only_what_was_copied),
        cmocka_unit_test(set_aside_hides_an_image),
        cmocka_unit_test(set_aside_leaves_a_newer_version),
        cmocka_unit_test(reserved_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
