/* What the headers of older C libraries (glibc before 2.34) and kernels lack. */
#ifndef SAVESEAL_CORE_COMPAT_H
#define SAVESEAL_CORE_COMPAT_H

#include <features.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* The same on all machines; a kernel that does not know them says ENOSYS. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
/* Since the headers of Linux 5.17. */
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#if !__GLIBC_PREREQ(2, 32)
/* The table that strerrordesc_np reads. The linker warns of it; strerror would translate, and take locks for that. */
static inline const char *strerrordesc_np(int error)
{
    return error >= 0 && error < sys_nerr ? sys_errlist[error] : NULL;
}
#endif

#if !__GLIBC_PREREQ(2, 34)
int execveat(int dirfd, const char *path, char *const arguments[], char *const environment[], int flags);
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);
#endif

#endif
