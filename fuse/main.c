/* savesealfs: options and life cycle. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing.h"
#include "cred.h"
#include "daemon.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "core/proc.h"

/* Each known file is pinned by a descriptor. Returns how many there may be. */
static rlim_t raise_descriptor_limit(void)
{
    struct rlimit limit = {.rlim_cur = 1024};

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

/* Signals are taken by the main thread alone: every other thread inherits this. */
static void block_signals(void)
{
    sigset_t set;

    ss_loop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* our own limit is an error to report, not an end */
}

static int split_savers(struct ss_fs *fs, char *list)
{
    size_t count = 0;
    char *rest = NULL;

    for (char *path = list ? strtok_r(list, ":", &rest) : NULL; path; path = strtok_r(NULL, ":", &rest)) {
        if (count == SS_SAVERS_MAX) {
            fprintf(stderr, "savesealfs: savers: more than %d programs\n", SS_SAVERS_MAX);
            return -E2BIG;
        }
        fs->savers[count++] = path;
    }
    return 0;
}

/* Adds our own mount options to the user's. */
static int add_mount_options(struct fuse_args *args, const struct ss_options *options, const char *backing)
{
    char line[PATH_MAX * 2 + 64], name[PATH_MAX * 2];
    size_t n = 0;

    /* A comma or backslash in the source's name would end the option. */
    for (const char *c = backing; *c && n + 2 < sizeof name; c++) {
        if (*c == ',' || *c == '\\')
            name[n++] = '\\';
        name[n++] = *c;
    }
    name[n] = '\0';
    snprintf(line, sizeof line, "-osubtype=savesealfs,default_permissions%s%s", geteuid() == 0 ? ",allow_other" : "",
             options->debug ? ",debug" : "");
    if (fuse_opt_add_arg(args, line) < 0)
        return -ENOMEM;
    snprintf(line, sizeof line, "-ofsname=%s", name);
    if (fuse_opt_add_arg(args, line) < 0)
        return -ENOMEM;
    return 0;
}

static void on_initialised(struct ss_fs *fs)
{
    dev_t device;

    if (ss_proc_mount_device(fs->mount, &device) == 0)
        atomic_store(&fs->device, device);
    ss_daemon_ready(fs->initialised_context);
}

/* The absolute path of a directory that the user named. Returns 0, or -errno after a message. */
static int resolve(const char *given, char path[PATH_MAX])
{
    struct stat st;
    int error = 0;

    if (!realpath(given, path) || stat(path, &st) < 0)
        error = errno;
    else if (!S_ISDIR(st.st_mode))
        error = ENOTDIR;
    if (error)
        fprintf(stderr, "savesealfs: %s: %s\n", given, strerror(error));
    return -error;
}

/* From mount to unmount. Returns an exit status. */
static int serve(struct ss_fs *fs, struct fuse_args *args, struct ss_daemon *daemon, bool foreground)
{
    int status = 1;

    struct fuse_session *session = fuse_session_new(args, &ss_ops, sizeof ss_ops, fs);
    if (!session)
        return 1;
    if (fuse_session_mount(session, fs->mount) == 0) {
        fs->initialised = on_initialised;
        fs->initialised_context = daemon;
        ss_log_open(!foreground);
        int r = ss_loop_run(session, fs);
        if (r < 0)
            ss_log(LOG_ERR, "%s: ended: %s", fs->mount, strerrordesc_np(-r));
        status = r < 0;
        fuse_session_unmount(session);
    }
    fuse_session_destroy(session);
    return status;
}

static int run(struct fuse_args *args, struct ss_options *options)
{
    struct ss_daemon daemon = {.pipe = -1};
    static struct ss_fs fs;
    static char backing[PATH_MAX], mount[PATH_MAX];

    if (resolve(options->backing, backing) < 0 || resolve(options->mount, mount) < 0)
        return 1;
    int fd = ss_backing_open(backing, options->read_only);
    if (fd < 0)
        return 1;
    bool foreground = options->foreground || options->debug;
    if (!foreground && ss_daemon_start(&daemon) < 0)
        return 1;

    fs.backing = backing;
    fs.mount = mount;
    fs.digest_full = !options->digest || strcmp(options->digest, "full") == 0;
    fs.commit = ss_options_commit(options);
    fs.grace_ns = ss_options_grace_ns(options);
    fs.privileged = ss_cred_init();
    rlim_t descriptors = raise_descriptor_limit();
    fs.node_limit = (uint32_t)(descriptors / 2 < SS_MAX_NODES / 2 ? descriptors / 2 : SS_MAX_NODES / 2);
    block_signals();
    umask(0);
    if (split_savers(&fs, options->savers) < 0 || add_mount_options(args, options, backing) < 0)
        return 1;
    int r = ss_fs_create(&fs, fd);
    if (r < 0) {
        fprintf(stderr, "savesealfs: %s: %s\n", backing, strerrordesc_np(-r));
        return 1;
    }
    if (!options->read_only)
        ss_backing_recover(fd);
    int status = serve(&fs, args, &daemon, foreground);
    ss_fs_destroy(&fs);
    return status;
}

/* So that no descriptor of ours ever gets a standard number, which others write to. */
static void occupy_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct ss_options options = {0};
    int status;

    occupy_standard_descriptors();
    if (ss_options_parse(&args, &options) < 0) {
        status = 2;
    } else if (options.help) {
        ss_options_usage();
        status = 0;
    } else if (options.version) {
        printf("savesealfs %s (libfuse %s)\n", SAVESEAL_VERSION, fuse_pkgversion());
        status = 0;
    } else {
        status = run(&args, &options);
    }
    fuse_opt_free_args(&args);
    ss_options_free(&options);
    return status;
}
