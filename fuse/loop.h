/* The session loop: reads requests and has them handled by a pool of threads.
 *
 * Why not libfuse's: the kernel queues RELEASE before close() returns, but with several readers a LOOKUP that was sent
 * after it may be handled before it, and miss what was just saved. Here one thread at a time reads, under the receive
 * lock, and a RELEASE is handled before that lock is given up; so it is in force before any later request is even read.
 */
#ifndef SAVESEAL_FUSE_LOOP_H
#define SAVESEAL_FUSE_LOOP_H

#include <signal.h>

#include "fs.h"

/* The signals that a main thread, the keeper's or a worker's, waits for: to be blocked before any thread is started. */
void ss_loop_signals(sigset_t *set);

/* Has the session's answers go through here, so that a slot knows of each. Before the first worker. Returns 0 or
 * -errno. */
int ss_loop_prepare(struct fuse_session *session);

/* Takes over from the worker before, if there was one, and serves until the file system is unmounted (0), or SIGHUP
 * wants the worker to end when it has done what it has in hand (-ECANCELED); -errno when reading fails. Blocks. The
 * calling thread handles no requests: it waits for signals and sweeps. The caller has blocked them before any thread
 * was started. */
int ss_loop_run(struct fuse_session *session, struct ss_fs *fs);

#endif
