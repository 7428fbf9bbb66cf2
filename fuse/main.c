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
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "cred.h"
#include "daemon.h"
#include "keeper.h"
#include "log.h"
#include "loop.h"
#include "mountpoint.h"
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
    signal(SIGCHLD, SIG_DFL); /* who started us may have ignored it: then nobody could wait for a child */
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

    struct ss_daemon *daemon = fs->initialised_context;

    if (atomic_load(&fs->shared->ready))
        return; /* said by a worker before this one */
    if (ss_proc_mount_device(fs->mount, &device) == 0)
        atomic_store(&fs->shared->device, device);
    ss_daemon_ready(daemon);
    atomic_store(&fs->shared->ready, true); /* before the pipe is closed: its number may mean something else then */
    ss_daemon_close(daemon);
}

/* Connects a new session: mounts, or goes on with the connection that there is. */
static int connect_session(struct ss_fs *fs, struct fuse_session *session, bool resumes)
{
    char path[64];

    snprintf(path, sizeof path, "/dev/fd/%d", fs->shared->session);
    if (fuse_session_mount(session, resumes ? path : fs->mount) != 0)
        return -EIO;
    fs->shared->session = fuse_session_fd(session);
    return ss_loop_prepare(session);
}

/* The mount is to go, whatever became of the session. */
static void take_off(struct ss_fs *fs)
{
    dev_t device;

    if (ss_proc_mount_device(fs->mount, &device) == 0 && device == fs->shared->device)
        ss_mount_detach(fs->mount);
}

/* From mount to unmount. Returns an exit status. */
static int serve(struct ss_fs *fs, struct fuse_args *args, struct ss_daemon *daemon, const struct ss_options *options,
                 char *const *argv)
{
    char program[PATH_MAX] = "";
    int status = 1;

    struct fuse_session *session = fuse_session_new(args, &ss_ops, sizeof ss_ops, fs);
    if (!session)
        return 1;
    if (connect_session(fs, session, fs->resumed) == 0) {
        struct ss_keeper keeper = {.session = session, .fs = fs, .arguments = argv, .program = program};
        if (ss_proc_exe(getpid(), program, sizeof program) < 0)
            program[0] = '\0';
        fs->initialised = on_initialised;
        fs->initialised_context = daemon;
        fs->keeper = getpid();
        fs->shared->log = ss_log_open(!options->foreground && !options->debug, fs->resumed ? fs->shared->log : -1);
        if (!fs->resumed)
            ss_keeper_note_descriptors(fs->shared);
        status = ss_keeper_run(&keeper);
        fuse_session_unmount(session); /* closes the connection, so that nobody waits any more */
        take_off(fs);
    }
    fuse_session_destroy(session);
    return status;
}

/* statfs() asks a mount that is there whether it lives; its attributes the kernel may only remember. */
static int resolve(const char *given, char path[PATH_MAX])
{
    struct statfs fs;
    struct stat st;

    if (!realpath(given, path) || statfs(path, &fs) < 0 || stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* The absolute path of a directory that the user named. Where a mount is in the way whose keeper was killed, that is
 * taken away first. Returns 0, or -errno after a message. */
static int resolve_or_replace(const char *given, char path[PATH_MAX])
{
    const struct timespec pause = {.tv_nsec = 100000000};

    int r = resolve(given, path);
    for (int tries = 0; (r == -ENOTCONN || r == -ECONNABORTED) && tries < 10 && ss_mount_replace_dead(given) == 0;
         tries++) {
        nanosleep(&pause, NULL); /* until the last of it has ended, which may still hold locks on drafts */
        r = resolve(given, path);
    }
    if (r < 0)
        fprintf(stderr, "savesealfs: %s: %s\n", given, strerrordesc_np(-r));
    return r;
}

/* Tables and backing directory of a new mount. Returns 0, or -errno after a message. */
static int begin_new(struct ss_fs *fs, const struct ss_options *options, struct ss_daemon *daemon)
{
    char backing[PATH_MAX], mount[PATH_MAX];

    int r = resolve_or_replace(options->mount, mount);
    if (r == 0)
        r = resolve_or_replace(options->backing, backing);
    int fd = r < 0 ? r : ss_backing_open(backing, options->read_only);
    if (fd < 0)
        return fd;
    if (!options->foreground && !options->debug && ss_daemon_start(daemon) < 0)
        return -EAGAIN;
    r = ss_fs_create(fs, fd);
    if (r < 0) {
        fprintf(stderr, "savesealfs: %s: %s\n", backing, strerrordesc_np(-r));
        return r;
    }
    snprintf(fs->shared->backing, PATH_MAX, "%s", backing);
    snprintf(fs->shared->mount, PATH_MAX, "%s", mount);
    if (!options->read_only)
        ss_backing_recover(fd);
    return 0;
}

/* The program before this one has left everything in place. */
static int begin_resumed(struct ss_fs *fs, const struct ss_options *options)
{
    int r = ss_fs_attach(fs, atoi(options->resume));
    if (r < 0) {
        fprintf(stderr, "savesealfs: --resume: %s\n", strerrordesc_np(-r));
        return r;
    }
    ss_keeper_resumed();
    fs->resumed = true;
    atomic_fetch_add(&fs->shared->upgrades, 1);
    return 0;
}

static int run(struct fuse_args *args, struct ss_options *options, char *const *argv)
{
    struct ss_daemon daemon = {.pipe = -1};
    static struct ss_fs fs;

    rlim_t descriptors = raise_descriptor_limit();
    fs.digest_full = !options->digest || strcmp(options->digest, "full") == 0;
    fs.no_resend = options->no_resend;
    fs.marked_only = options->format && strcmp(options->format, "libvirt") == 0;
    fs.no_passthrough = options->no_passthrough;
    fs.no_direct = options->no_direct;
    fs.shared_directory = options->shared;
    fs.commit = ss_options_commit(options);
    fs.grace_ns = ss_options_grace_ns(options);
    fs.node_limit = (uint32_t)(descriptors / 2 < SS_MAX_NODES / 2 ? descriptors / 2 : SS_MAX_NODES / 2);
    if (split_savers(&fs, options->savers) < 0)
        return 1;
    if ((options->resume ? begin_resumed(&fs, options) : begin_new(&fs, options, &daemon)) < 0)
        return 1;
    fs.backing = fs.shared->backing;
    fs.mount = fs.shared->mount;
    fs.privileged = ss_cred_init();
    block_signals();
    umask(0);
    if (add_mount_options(args, options, fs.backing) < 0)
        return 1;
    int status = serve(&fs, args, &daemon, options, argv);
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
    } else if (options.takes_over) {
        status = ss_keeper_takes_over(options.takes_over);
    } else if (options.upgrade) {
        status = ss_keeper_upgrade(options.backing);
    } else if (options.version) {
        printf("savesealfs %s (libfuse %s)\n", SAVESEAL_VERSION, fuse_pkgversion());
        status = 0;
    } else {
        status = run(&args, &options, argv);
    }
    fuse_opt_free_args(&args);
    ss_options_free(&options);
    return status;
}
