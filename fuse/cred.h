/* Acting as the caller: what is created belongs to whom asked for it.
 *
 * The kernel has checked the permission already (mount option default_permissions); the switch is about ownership,
 * umask, and the default ACL. User, group and umask are set for the calling thread alone: setfsuid and setfsgid are per
 * thread, and each thread has left the shared umask with ss_cred_thread_init. */
#ifndef SAVESEAL_FUSE_CRED_H
#define SAVESEAL_FUSE_CRED_H

#include "fs.h"

/* At start, before threads: from now on a change of the file system user keeps capabilities. Returns whether this
 * process may act as other users at all. */
bool ss_cred_init(void);

/* Once in each thread that serves requests. Returns 0 or -errno. */
int ss_cred_thread_init(void);

void ss_cred_assume(const struct ss_fs *fs, const struct fuse_ctx *caller);
void ss_cred_restore(const struct ss_fs *fs);

#endif
