#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    OPTION("digest=%s", digest, 0),
    OPTION("savers=%s", savers, 0),
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
    return 0;
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
    free(options->savers);
    free(options->resume);
    free(options->takes_over);
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
         "    -o savers=PATH[:PATH] programs that may see every draft under its public name\n"
         "    -o noresend           after a crash do as on a kernel before 6.9 (for tests)\n"
         "    -o OPTION[,OPTION]    any mount option of FUSE: allow_other, ro, ...\n"
         "\n"
         "--upgrade has a mount go on with the program that is on disk now, without unmounting.\n"
         "\n"
         "As root, other users may use the mount (allow_other) unless you say otherwise.\n"
         "Unmount with: umount MOUNT, or as a user: fusermount3 -u MOUNT");
}
