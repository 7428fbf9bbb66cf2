#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "util.h"

/* Task flags in field 9 of /proc/PID/stat: include/linux/sched.h, unchanged since Linux 2.6. */
#define PF_EXITING 0x4UL
#define PF_SIGNALED 0x400UL

/* What Debian 12's headers lack: include/uapi/linux/pidfd.h of Linux 6.15. */
#define INFO_EXIT (1ULL << 3)
struct info {
    uint64_t mask; /* wanted, then what there is */
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ids[8];
    int32_t exit_code;
};
_Static_assert(sizeof(struct info) == 64, "PIDFD_INFO_SIZE_VER0");
#define GET_INFO _IOWR(0xFF, 11, struct info)

#define BUSY_THREADS_MAX 64

#define STAT_FIELD_FLAGS 9
#define STAT_FIELD_START 22
#define STAT_FIELD_EXIT_CODE 52

/* Reads /proc/PID/FILE into buf, NUL-terminated. Returns its length or -errno. */
static ssize_t read_proc(pid_t pid, const char *file, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);

    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t n = ss_pread_full(fd, buf, size - 1, 0);
    if (n >= 0)
        buf[n] = '\0';
    return n;
}

/* The value of "KEY:\t" at the start of a line of text, or NULL. */
static const char *line_value(const char *line, const char *key)
{
    size_t len = strlen(key);
    return strncmp(line, key, len) == 0 && line[len] == ':' ? line + len + 1 : NULL;
}

/* Reads line by line: the list of groups, which stands before VmSize, can be far longer than any buffer. */
int ss_proc_status(pid_t tid, struct ss_proc_status *status)
{
    struct ss_proc_status found = {0};
    char path[64];
    SS_AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    const char *value;

    if (tid <= 0)
        return -ESRCH;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? -ESRCH : -errno;
    while (!found.has_memory && getline(&line, &capacity, file) > 0) {
        if ((value = line_value(line, "Name")))
            snprintf(found.name, sizeof found.name, "%.*s", (int)strcspn(value + 1, "\n"), value + 1);
        else if ((value = line_value(line, "State")))
            found.state = value[0] == '\t' ? value[1] : '\0';
        else if ((value = line_value(line, "Tgid")))
            found.tgid = (pid_t)strtol(value, NULL, 10);
        else if ((value = line_value(line, "PPid")))
            found.ppid = (pid_t)strtol(value, NULL, 10);
        else if (line_value(line, "VmSize"))
            found.has_memory = true;
    }
    fclose(file);
    if (found.tgid <= 0)
        return -ESRCH;
    *status = found;
    return 0;
}

/* Field number (from 1) of a stat line, counted from the end of the name, which may hold anything. */
static int stat_field(const char *text, int number, unsigned long long *value)
{
    const char *at = strrchr(text, ')');
    if (!at)
        return -EBADMSG;
    for (int field = 2; field < number; field++) {
        at = strchr(at + 1, ' ');
        if (!at)
            return -EBADMSG;
    }
    char *end;
    *value = strtoull(at + 1, &end, 10);
    return end == at + 1 ? -EBADMSG : 0;
}

/* Whether /proc shows us the task's exit code: it prints 0 to those who may not see it. A link that may not be read
 * says so. */
static bool may_see_exit_code(pid_t tid)
{
    char path[64], target[2];

    snprintf(path, sizeof path, "/proc/%d/exe", (int)tid);
    return readlink(path, target, sizeof target) >= 0 || (errno != EACCES && errno != EPERM);
}

/* exit_code as wait(2) reports it. */
static void judge_code(struct ss_proc_close *how, unsigned long long exit_code)
{
    how->finding = SS_CLEAN;
    if (exit_code & 0x7f) {
        how->finding = SS_WRITER_KILLED;
        how->number = (int)(exit_code & 0x7f);
    } else if (exit_code >> 8) {
        how->finding = SS_WRITER_EXITED;
        how->number = (int)((exit_code >> 8) & 0xff);
    }
}

/* PF_SIGNALED says less than it seems: exit_group() in a program of several threads sets it on all of the others. The
 * exit code, which is the whole group's by then, tells; the flag only where the code is hidden. */
static void judge_exit(struct ss_proc_close *how, pid_t tid, unsigned long long flags, unsigned long long exit_code)
{
    if (!(flags & PF_EXITING)) /* a kernel thread closed for somebody whom we can not see */
        how->finding = SS_WRITER_VANISHED;
    else if (exit_code != 0 || may_see_exit_code(tid))
        judge_code(how, exit_code);
    else
        how->finding = flags & PF_SIGNALED ? SS_WRITER_KILLED : SS_WRITER_VANISHED;
}

/* Of a task without memory, which is past the point where it could be in execve, so that stat does not block. */
static void judge_by_stat(struct ss_proc_close *how, pid_t tid)
{
    char text[1024];
    unsigned long long flags = 0, exit_code = 0;

    if (read_proc(tid, "stat", text, sizeof text) < 0)
        return;
    if (stat_field(text, STAT_FIELD_FLAGS, &flags) < 0 || stat_field(text, STAT_FIELD_EXIT_CODE, &exit_code) < 0)
        return;
    judge_exit(how, tid, flags, exit_code);
}

void ss_proc_closing(pid_t tid, struct ss_proc_close *how)
{
    struct ss_proc_status status = {0};

    *how = (struct ss_proc_close){.finding = SS_WRITER_VANISHED};
    if (ss_proc_status(tid, &status) < 0)
        return;
    how->tgid = status.tgid;
    if (status.has_memory) {
        how->finding = SS_CLEAN;
        return;
    }
    how->exiting = true;
    judge_by_stat(how, tid);
}

/* What the kernel keeps of a process that was reaped while somebody had a pidfd of it. */
static bool is_remembered(int pidfd, struct ss_proc_close *how)
{
    struct info info = {.mask = INFO_EXIT};

    if (ioctl(pidfd, GET_INFO, &info) < 0 || !(info.mask & INFO_EXIT))
        return false;
    judge_code(how, (unsigned)info.exit_code);
    return true;
}

int ss_proc_ended(int pidfd, pid_t pid, struct ss_proc_close *how)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};

    int n = poll(&poller, 1, 0);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    *how = (struct ss_proc_close){.finding = SS_WRITER_VANISHED, .exiting = true, .tgid = pid};
    struct ss_proc_close zombie = *how;
    if (is_remembered(pidfd, how))
        return 1;
    judge_by_stat(&zombie, pid);
    /* When it is a zombie even now, what was read was its own, and not of a process that took its number. */
    if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH)
        *how = zombie;
    else
        is_remembered(pidfd, how); /* reaped meanwhile */
    return 1;
}

bool ss_proc_is_busy(pid_t pid)
{
    struct ss_proc_status status = {0};
    char path[64];
    bool busy = false;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    struct dirent *entry = readdir(dir);
    for (int seen = 0; entry && !busy && seen < BUSY_THREADS_MAX; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        busy = ss_proc_status((pid_t)strtol(entry->d_name, NULL, 10), &status) == 0 &&
               (status.state == 'R' || status.state == 'D');
        seen++;
    }
    closedir(dir);
    return busy;
}

int ss_proc_start(pid_t pid, uint64_t *start)
{
    char text[1024];
    unsigned long long value = 0;

    ssize_t n = read_proc(pid, "stat", text, sizeof text);
    if (n < 0)
        return (int)n;
    int r = stat_field(text, STAT_FIELD_START, &value);
    if (r == 0)
        *start = value;
    return r;
}

void ss_proc_name(pid_t pid, char *buf, size_t size)
{
    char text[64];

    buf[0] = '\0';
    if (pid <= 0 || read_proc(pid, "comm", text, sizeof text) < 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    snprintf(buf, size, "%s", text);
}

int ss_proc_exe(pid_t pid, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);

    ssize_t n = readlink(path, buf, size);
    if (n < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    if ((size_t)n >= size)
        return -ENAMETOOLONG;
    buf[n] = '\0';
    return 0;
}

/* The mount id of descriptor `name` if it is open on inode ino, else -1. */
static long descriptor_mount(int dir, const char *name, uint64_t ino)
{
    char text[1024];
    long mount = -1;
    bool same_inode = false;
    const char *value;

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = ss_pread_full(fd, text, sizeof text - 1, 0);
    if (n < 0)
        return -1;
    text[n] = '\0';
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if ((value = line_value(line, "mnt_id")))
            mount = strtol(value, NULL, 10);
        else if ((value = line_value(line, "ino")))
            same_inode = strtoull(value, NULL, 10) == ino;
    }
    return same_inode ? mount : -1;
}

/* One line of mountinfo: "36 35 98:0 /root /mount/point options ..." (proc(5)); \ooo stands for blanks in the path. */
struct mount_line {
    long id;
    unsigned major, minor;
    char path[PATH_MAX];
    char type[64];
    char options[512]; /* of its file system */
};

static void unescape(char *text)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] && in[3]) {
            *out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 3;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
}

/* Calls match for each mount that the process sees until it says true; *found is then that line. */
static int find_mount(pid_t pid, bool (*match)(const struct mount_line *, const void *), const void *context,
                      struct mount_line *found)
{
    char path[64], *line = NULL;
    size_t capacity = 0;
    int r = -ENOENT;

    snprintf(path, sizeof path, "/proc/%d/mountinfo", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    while (getline(&line, &capacity, file) > 0) {
        struct mount_line mount;
        if (sscanf(line, "%ld %*d %u:%u %*s %4095s", &mount.id, &mount.major, &mount.minor, mount.path) != 4)
            continue;
        unescape(mount.path);
        const char *rest = strstr(line, " - ");
        mount.type[0] = mount.options[0] = '\0';
        if (rest)
            sscanf(rest, " - %63s %*s %511s", mount.type, mount.options);
        if (match(&mount, context)) {
            *found = mount;
            r = 0; /* go on: the last one is the topmost */
        }
    }
    free(line);
    fclose(file);
    return r;
}

static bool match_id(const struct mount_line *mount, const void *context)
{
    return mount->id == *(const long *)context;
}

static bool match_path(const struct mount_line *mount, const void *context)
{
    return strcmp(mount->path, context) == 0;
}

int ss_proc_mount_device(const char *path, dev_t *dev)
{
    struct mount_line mount = {0};

    int r = find_mount(getpid(), match_path, path, &mount);
    if (r == 0)
        *dev = makedev(mount.major, mount.minor);
    return r;
}

bool ss_proc_is_mount_of(const char *path, const char *type)
{
    struct mount_line mount = {0};

    return find_mount(getpid(), match_path, path, &mount) == 0 && strcmp(mount.type, type) == 0;
}

struct device_type {
    dev_t device;
    const char *type;
};

static bool match_device_type(const struct mount_line *mount, const void *context)
{
    const struct device_type *wanted = context;

    return makedev(mount->major, mount->minor) == wanted->device && strcmp(mount->type, wanted->type) == 0;
}

bool ss_proc_is_device_of(dev_t device, const char *type)
{
    const struct device_type wanted = {device, type};
    struct mount_line mount;

    return find_mount(getpid(), match_device_type, &wanted, &mount) == 0;
}

int ss_proc_mount_user(const char *path, uid_t *user)
{
    struct mount_line mount = {0};
    unsigned id;

    int r = find_mount(getpid(), match_path, path, &mount);
    const char *option = r == 0 ? strstr(mount.options, "user_id=") : NULL;
    if (!option || sscanf(option, "user_id=%u", &id) != 1)
        return r < 0 ? r : -ENODATA;
    *user = id;
    return 0;
}

bool ss_proc_holds(pid_t pid, dev_t dev, uint64_t ino)
{
    char path[64];
    struct mount_line mount = {0};
    bool found = false;

    snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir));) {
        long id = entry->d_name[0] == '.' ? -1 : descriptor_mount(dirfd(dir), entry->d_name, ino);
        found = id >= 0 && find_mount(pid, match_id, &id, &mount) == 0 && makedev(mount.major, mount.minor) == dev;
    }
    closedir(dir);
    return found;
}

/* Stays what it is as long as this process lives. */
static struct {
    pthread_once_t read;
    char text[40];
} boot_id = {.read = PTHREAD_ONCE_INIT};

static void read_boot_id(void)
{
    SS_AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = ss_pread_full(fd, boot_id.text, sizeof boot_id.text - 1, 0);
    boot_id.text[n > 0 ? n : 0] = '\0';
    boot_id.text[strcspn(boot_id.text, "\n")] = '\0';
}

void ss_proc_boot_id(char *buf, size_t size)
{
    pthread_once(&boot_id.read, read_boot_id);
    snprintf(buf, size, "%s", boot_id.text);
}
