#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/util.h"

#define OPTION(template, field, value)                                                                                 \
    {                                                                                                                  \
        template, offsetof(struct ss_options, field), value                                                            \
    }

static const struct fuse_opt table[] = {
    OPTION("-f", foreground, 1),
    OPTION("-d", debug, 1),
    OPTION("debug", debug, 1),
    OPTION("-h", help, 1),
    OPTION("--help", help, 1),
    OPTION("-V", version, 1),
    OPTION("--version", version, 1),
    OPTION("--upgrade", upgrade, 1),
    OPTION("--resume=%s", resume, 0),
    OPTION("--takes-over=%s", takes_over, 0),
    OPTION("noresend", no_resend, 1),
    OPTION("nopassthrough", no_passthrough, 1),
    OPTION("nodirect", no_direct, 1),
    OPTION("shared", shared, 1),
    OPTION("digest=%s", digest, 0),
    OPTION("format=%s", format, 0),
    OPTION("savers=%s", savers, 0),
    OPTION("commit=%s", commit, 0),
    OPTION("settle=%s", settle, 0),
    OPTION("ro", read_only, 1),
    FUSE_OPT_KEY("ro", FUSE_OPT_KEY_KEEP),
    /* What fstab lines carry for others than us. */
    FUSE_OPT_KEY("rw", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("_netdev", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("nofail", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("auto", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("noauto", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("user", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("nouser", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_KEY("users", FUSE_OPT_KEY_DISCARD),
    FUSE_OPT_END,
};

static int take_argument(void *data, const char *argument, int key, struct fuse_args *out)
{
    struct ss_options *options = data;

    (void)out;
    if (key == FUSE_OPT_KEY_OPT)
        return strncmp(argument, "x-", 2) != 0; /* those are for mount and systemd */
    if (key != FUSE_OPT_KEY_NONOPT)
        return 1;
    char **place = !options->backing ? &options->backing : &options->mount;
    if (*place) {
        fprintf(stderr, "savesealfs: '%s' is one directory too many: BACKING and MOUNT are wanted\n", argument);
        return -1;
    }
    *place = strdup(argument);
    return *place ? 0 : -1;
}

#define GRACE_MS 20
#define GRACE_MS_MAX 60000

static const char *const commits[] = {
    [SS_COMMIT_SETTLE] = "settle", [SS_COMMIT_CLOSE] = "close", [SS_COMMIT_EXIT] = "exit"};

/* Returns SS_ARRAY_SIZE(commits) when there is no such one. */
static size_t find_commit(const char *name)
{
    size_t i = 0;

    while (i < SS_ARRAY_SIZE(commits) && strcmp(commits[i], name) != 0)
        i++;
    return i;
}

enum ss_commit ss_options_commit(const struct ss_options *options)
{
    return options->commit ? (enum ss_commit)find_commit(options->commit) : SS_COMMIT_SETTLE;
}

/* Milliseconds, or -1. */
static long parse_grace(const char *text)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    long ms = strtol(text, &end, 10);
    return *end || errno || ms > GRACE_MS_MAX ? -1 : ms;
}

uint64_t ss_options_grace_ns(const struct ss_options *options)
{
    return (uint64_t)(options->settle ? parse_grace(options->settle) : GRACE_MS) * 1000000;
}

static int check_commit(const struct ss_options *options)
{
    if (options->commit && find_commit(options->commit) == SS_ARRAY_SIZE(commits)) {
        fprintf(stderr, "savesealfs: commit=%s: must be settle, close or exit\n", options->commit);
        return -EINVAL;
    }
    if (options->settle && parse_grace(options->settle) < 0) {
        fprintf(stderr, "savesealfs: settle=%s: must be a number of milliseconds from 0 to %d\n", options->settle,
                GRACE_MS_MAX);
        return -EINVAL;
    }
    if (options->settle && ss_options_commit(options) != SS_COMMIT_SETTLE) {
        fprintf(stderr, "savesealfs: settle=%s: means nothing with commit=%s\n", options->settle, options->commit);
        return -EINVAL;
    }
    return 0;
}

static int check(const struct ss_options *options)
{
    if (options->help || options->version)
        return 0;
    if (options->upgrade && (!options->backing || options->mount)) {
        fprintf(stderr, "savesealfs: --upgrade wants one MOUNT\n");
        return -EINVAL;
    }
    if (options->upgrade)
        return 0;
    if (!options->mount) {
        fprintf(stderr, "savesealfs: BACKING and MOUNT are wanted; see savesealfs -h\n");
        return -EINVAL;
    }
    if (options->digest && strcmp(options->digest, "full") != 0 && strcmp(options->digest, "header") != 0) {
        fprintf(stderr, "savesealfs: digest=%s: must be full or header\n", options->digest);
        return -EINVAL;
    }
    if (options->format && strcmp(options->format, "libvirt") != 0 && strcmp(options->format, "any") != 0) {
        fprintf(stderr, "savesealfs: format=%s: must be any or libvirt\n", options->format);
        return -EINVAL;
    }
    return check_commit(options);
}

int ss_options_parse(struct fuse_args *args, struct ss_options *options)
{
    if (fuse_opt_parse(args, options, table, take_argument) < 0)
        return -EINVAL;
    return check(options);
}

void ss_options_free(struct ss_options *options)
{
    free(options->backing);
    free(options->mount);
    free(options->digest);
    free(options->format);
    free(options->savers);
    free(options->resume);
    free(options->takes_over);
    free(options->commit);
    free(options->settle);
}

void ss_options_usage(void)
{
    puts("usage: savesealfs [options] BACKING MOUNT\n"
         "       savesealfs --upgrade MOUNT\n"
         "\n"
         "Shows the save directory BACKING under MOUNT, which may be the same place. What is\n"
         "being written there is hidden from others until its writer closed it cleanly.\n"
         "\n"
         "    -f                    stay in the foreground, messages to standard error\n"
         "    -d                    print every request as well (implies -f)\n"
         "    -h, -V                print this help, the version\n"
         "    -o digest=full        seal with a digest of the whole file (default)\n"
         "    -o digest=header      seal with a digest of the header alone\n"
         "    -o format=any         save anything (default)\n"
         "    -o format=libvirt     save only images of libvirt, at the speed of the directory itself\n"
         "    -o savers=PATH[:PATH] programs that may see every draft under its public name\n"
         "    -o commit=settle      publish a closed draft when its writers have exited with status 0,\n"
         "                          or live on after a grace time (default)\n"
         "    -o commit=close       publish it at once\n"
         "    -o commit=exit        publish it when its writers have exited with status 0\n"
         "    -o settle=MS          the grace time, in milliseconds (default 20)\n"
         "    -o nopassthrough      read images through the daemon, as on a kernel before 6.9\n"
         "    -o shared             BACKING is changed by others as well, or mounted twice: see it at once\n"
         "    -o nodirect           write drafts as on a kernel before 6.6 (for tests)\n"
         "    -o noresend           after a crash do as on a kernel before 6.9 (for tests)\n"
         "    -o OPTION[,OPTION]    any mount option of FUSE: allow_other, ro, ...\n"
         "\n"
         "--upgrade has a mount go on with the program that is on disk now, without unmounting.\n"
         "\n"
         "As root, other users may use the mount (allow_other) unless you say otherwise.\n"
         "Unmount with: umount MOUNT, or as a user: fusermount3 -u MOUNT");
}
