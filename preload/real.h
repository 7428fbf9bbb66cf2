/* The functions of the C library that the hooks stand in front of. */
#ifndef SAVESEAL_PRELOAD_REAL_H
#define SAVESEAL_PRELOAD_REAL_H

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Of newer C libraries; in older ones they are NULL. */
pid_t _Fork(void);
int posix_spawnattr_getcgroup_np(const posix_spawnattr_t *attributes, int *cgroup);
int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]);
int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]);

/* What a program calls at its very beginning, when all libraries are ready. */
int __libc_start_main(int (*begin)(int, char **, char **), int count, char **arguments, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack_end);

/* Looked up by name, the next definition after ours. Every C library that we run on has all but the above, or real.c
 * puts something in the place; hooks of what came later (close_range, openat2) make the system call. */
#define SS_REAL_FUNCTIONS(X)                                                                                           \
    X(openat)                                                                                                          \
    X(close)                                                                                                           \
    X(munmap)                                                                                                          \
    X(dup)                                                                                                             \
    X(dup2)                                                                                                            \
    X(dup3)                                                                                                            \
    X(fcntl)                                                                                                           \
    X(fopen)                                                                                                           \
    X(fdopen)                                                                                                          \
    X(mkostemps)                                                                                                       \
    X(freopen)                                                                                                         \
    X(fclose)                                                                                                          \
    X(fstatat)                                                                                                         \
    X(statx)                                                                                                           \
    X(faccessat)                                                                                                       \
    X(unlinkat)                                                                                                        \
    X(renameat2)                                                                                                       \
    X(linkat)                                                                                                          \
    X(truncate)                                                                                                        \
    X(fchmodat)                                                                                                        \
    X(fchownat)                                                                                                        \
    X(utimensat)                                                                                                       \
    X(readlinkat)                                                                                                      \
    X(realpath)                                                                                                        \
    X(readdir)                                                                                                         \
    X(readdir_r)                                                                                                       \
    X(glob)                                                                                                            \
    X(scandirat)                                                                                                       \
    X(setxattr)                                                                                                        \
    X(fsetxattr)                                                                                                       \
    X(fremovexattr)                                                                                                    \
    X(flistxattr)                                                                                                      \
    X(getxattr)                                                                                                        \
    X(listxattr)                                                                                                       \
    X(removexattr)                                                                                                     \
    X(lsetxattr)                                                                                                       \
    X(lgetxattr)                                                                                                       \
    X(llistxattr)                                                                                                      \
    X(lremovexattr)                                                                                                    \
    X(sendmsg)                                                                                                         \
    X(sendmmsg)                                                                                                        \
    X(recvmsg)                                                                                                         \
    X(recvmmsg)                                                                                                        \
    X(waitpid)                                                                                                         \
    X(wait4)                                                                                                           \
    X(waitid)                                                                                                          \
    X(syscall)                                                                                                         \
    X(daemon)                                                                                                          \
    X(_exit)                                                                                                           \
    X(quick_exit)                                                                                                      \
    X(execve)                                                                                                          \
    X(execvpe)                                                                                                         \
    X(fexecve)                                                                                                         \
    X(posix_spawn)                                                                                                     \
    X(posix_spawnp)                                                                                                    \
    X(posix_spawn_file_actions_addopen)                                                                                \
    X(posix_spawnattr_getcgroup_np)                                                                                    \
    X(pidfd_spawn)                                                                                                     \
    X(pidfd_spawnp)                                                                                                    \
    X(_Fork)                                                                                                           \
    X(__libc_start_main)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* programs may call what nobody should */
struct ss_real {
#define SS_REAL_MEMBER(name) __typeof__ (&(name))(name);
    SS_REAL_FUNCTIONS(SS_REAL_MEMBER)
#undef SS_REAL_MEMBER
};
#pragma GCC diagnostic pop

/* Looked up at the first call, from whatever thread: the same values are stored again at worst. */
const struct ss_real *ss_real(void);

/* For the functions of early.h: asks for no look-up. What is called before our constructor runs is outside for us
 * anyhow. */
const struct ss_real *ss_real_or_early(void);

#endif
