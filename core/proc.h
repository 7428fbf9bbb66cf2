/* What /proc tells about the processes that use a draft.
 *
 * The trap (measured on Linux 6.18): /proc/PID/stat of a task that is inside execve blocks until every close-on-exec
 * FLUSH is answered. /proc/PID/status never blocks. So everything here reads status, and stat only where the text says
 * why it can not block. No function here takes a lock; callers hold none meanwhile. Thread-safe. */
#ifndef SAVESEAL_CORE_PROC_H
#define SAVESEAL_CORE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "finding.h"

/* Facts of one task (any thread id). */
struct ss_proc_status {
    pid_t tgid;
    pid_t ppid;      /* 0: none, or in another pid namespace */
    char name[64];   /* comm, as /proc prints it (escaped) */
    char state;      /* R running or ready to, S sleeping, D waiting for a disk, ...: of this thread */
    bool has_memory; /* false: a kernel thread, or so far into its exit that its memory is gone */
};

/* Returns 0, -ESRCH when there is no such task, or -errno. */
int ss_proc_status(pid_t tid, struct ss_proc_status *status);

/* How a task is closing a descriptor, asked while its FLUSH is held. */
struct ss_proc_close {
    enum ss_finding finding; /* SS_CLEAN, SS_WRITER_KILLED, SS_WRITER_EXITED, SS_WRITER_VANISHED */
    int number;              /* the signal, or the exit status */
    bool exiting;            /* closed by the kernel at its end, not by a call */
    pid_t tgid;              /* its process, 0 when unknown */
};

/* Never fails: what can not be seen is SS_WRITER_VANISHED. Reads stat only of a task without memory, which is past
 * execve. */
void ss_proc_closing(pid_t tid, struct ss_proc_close *how);

/* How a process that is not our child ended. pidfd was opened while it lived; pid is its number in this /proc. Returns
 * 0 while it lives, 1 when it has ended: *how then says how, SS_WRITER_VANISHED when its parent has reaped it already
 * and this kernel does not remember (before Linux 6.15); or -errno. Reads stat only of a task that is a zombie. */
int ss_proc_ended(int pidfd, pid_t pid, struct ss_proc_close *how);

/* Is a thread of the process (of its first 64) running, ready to run, or waiting for a disk? Reads status only. */
bool ss_proc_is_busy(pid_t pid);

/* Start time of a process, clock ticks after boot. Reads stat: only for a process one of whose threads is waiting
 * for us in a call (so it can not be in the blocking part of execve), or from a tool. 0 or -errno. */
int ss_proc_start(pid_t pid, uint64_t *start);

/* Name (comm) of a task into buf, control characters replaced; "" when it is gone. */
void ss_proc_name(pid_t pid, char *buf, size_t size);

/* Path of the executable. Returns 0 or -errno (-ENAMETOOLONG when cut). */
int ss_proc_exe(pid_t pid, char *buf, size_t size);

/* True when the process has a descriptor open on inode ino of the file system with device number dev. Reads fdinfo and
 * mountinfo, which ask no file system, so it is safe from inside one. False when that can not be told. */
bool ss_proc_holds(pid_t pid, dev_t dev, uint64_t ino);

/* Device number of what is mounted on path (the topmost, as this process sees it), from mountinfo: unlike stat() it
 * asks no file system. Returns 0, -ENOENT, or -errno. */
int ss_proc_mount_device(const char *path, dev_t *dev);

/* True when what is mounted on path is of that type ("fuse.savesealfs"). Asks no file system either. */
bool ss_proc_is_mount_of(const char *path, const char *type);

/* True when a file system with that device number (st_dev of any of its files) is mounted somewhere and is of that
 * type.
 */
bool ss_proc_is_device_of(dev_t device, const char *type);

/* Who mounted what is on path, a FUSE file system (its option user_id). Returns 0, -ENODATA, -ENOENT, -errno. */
int ss_proc_mount_user(const char *path, uid_t *user);

/* This host's boot id into buf, "" if it can not be read. */
void ss_proc_boot_id(char *buf, size_t size);

#endif
