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

/* The signals that the main thread waits for: to be blocked before any thread is started. */
void ss_loop_signals(sigset_t *set);

/* Serves until the file system is unmounted or stop is set. Returns 0 or -errno. Blocks. The calling thread handles no
 * requests: it waits for signals (SIGINT, SIGTERM, SIGHUP: detach the mount; open files go on; a second one ends at
 * once) and sweeps. The caller has blocked those signals before any thread was started. */
int ss_loop_run(struct fuse_session *session, struct ss_fs *fs);

#endif
