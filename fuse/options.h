/* The command line of savesealfs. */
#ifndef SAVESEAL_FUSE_OPTIONS_H
#define SAVESEAL_FUSE_OPTIONS_H

#include "fs.h"

struct ss_options {
    char *backing; /* as given */
    char *mount;   /* as given */
    char *digest;  /* "full" or "header", NULL: default */
    char *format;  /* "any" or "libvirt", NULL: default */
    char *commit;  /* "close", "settle" or "exit", NULL: default */
    char *settle;  /* milliseconds, NULL: default */
    char *savers;  /* PATH[:PATH...], NULL: none */
    int foreground;
    int debug;
    int help;
    int version;
    int read_only;
    int no_resend;
    int no_passthrough;
    int no_direct;
    int shared;
    int upgrade;      /* backing is the mount */
    char *resume;     /* descriptor of the tables, NULL: a new mount */
    char *takes_over; /* layout that is asked about, NULL: not */
};

/* What they say, once they are parsed. */
enum ss_commit ss_options_commit(const struct ss_options *options);
uint64_t ss_options_grace_ns(const struct ss_options *options);

/* Parses argv into options; what is left in args is libfuse's. Returns 0, or -EINVAL after a message on stderr. */
int ss_options_parse(struct fuse_args *args, struct ss_options *options);
void ss_options_free(struct ss_options *options);

void ss_options_usage(void);

#endif
