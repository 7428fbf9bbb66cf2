/* Going to the background, but only once the mount works: until then the command that was started waits, and its exit
 * status tells. */
#ifndef SAVESEAL_FUSE_DAEMON_H
#define SAVESEAL_FUSE_DAEMON_H

struct ss_daemon {
    int pipe; /* to the waiting parent, -1: none */
};

/* Forks; returns in the child, 0 or -errno after a message. The parent exits 0 when the child says that it is ready,
 * else 1. */
int ss_daemon_start(struct ss_daemon *daemon);

/* The mount works: lets the parent go, and the terminal with it. May be said twice before the pipe is closed. */
void ss_daemon_ready(struct ss_daemon *daemon);
void ss_daemon_close(struct ss_daemon *daemon);

#endif
