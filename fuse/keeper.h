/* The keeper: the process that a mount lives as long as.
 *
 * It owns what must outlive a worker: the descriptor of /dev/fuse, the descriptor table as a whole (a worker shares it,
 * so that a number in the tables means the same to its successor, and locks on drafts stay held), and the memory of the
 * tables. It does no file I/O for the mount and allocates nothing once the first worker runs. A worker that dies is
 * replaced at once; one that dies again and again without serving anything is not. */
#ifndef SAVESEAL_FUSE_KEEPER_H
#define SAVESEAL_FUSE_KEEPER_H

#include "fs.h"

struct ss_keeper {
    struct fuse_session *session; /* mounted, no request was read from it */
    struct ss_fs *fs;
    char *const *arguments; /* of main, to start another version with */
    const char *program;    /* absolute path, "" unknown */
};

/* Notes which descriptors are open, for close_strays. Once, before the first worker. */
void ss_keeper_note_descriptors(struct ss_shared *shared);

/* From the first worker to the unmount. SIGTERM, SIGINT: detach the mount (open files go on; a second one ends at
 * once); SIGHUP: go on with the program that is on disk now. Returns an exit status. */
int ss_keeper_run(const struct ss_keeper *keeper);

/* Undoes what had to be done to descriptors so that they outlived exec. */
void ss_keeper_resumed(void);

/* savesealfs --takes-over=LAYOUT: exit status for the question whether this program can go on with such tables. */
int ss_keeper_takes_over(const char *layout);

/* savesealfs --upgrade MOUNT: has its keeper go on with the program on disk. Returns an exit status, after a message.
 */
int ss_keeper_upgrade(const char *mount);

#endif
