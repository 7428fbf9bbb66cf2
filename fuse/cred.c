#include "cred.h"

#include <errno.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

bool ss_cred_init(void)
{
    if (geteuid() != 0)
        return false;
    int bits = prctl(PR_GET_SECUREBITS);
    return bits >= 0 && prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP) == 0;
}

int ss_cred_thread_init(void)
{
    return unshare(CLONE_FS) < 0 ? -errno : 0;
}

void ss_cred_assume(const struct ss_fs *fs, const struct fuse_ctx *caller)
{
    umask(caller->umask);
    if (fs->privileged) {
        setfsgid(caller->gid);
        setfsuid(caller->uid);
    }
}

void ss_cred_restore(const struct ss_fs *fs)
{
    if (fs->privileged) {
        setfsuid(geteuid());
        setfsgid(getegid());
    }
    umask(0);
}
