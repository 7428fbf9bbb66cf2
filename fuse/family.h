/* The writer family: which processes may see a draft under its public name (docs/design.md, "The writer family").
 *
 * Reads /proc, so: never under a lock. Thread-safe; a family never changes after ss_family_found. */
#ifndef SAVESEAL_FUSE_FAMILY_H
#define SAVESEAL_FUSE_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ss_fs;

struct ss_family {
    pid_t pid;      /* of the creating process (thread group); 0 when it is out of sight (another pid namespace) */
    int pidfd;      /* pins its identity against reuse of the number, -1 unknown */
    pid_t parent;   /* its parent when it began, 0 unknown */
    uint64_t start; /* its start time, clock ticks after boot; 0 unknown */
    char name[64];  /* its comm and executable when it began; exe "" when unknown or longer */
    char exe[512];
};

/* The family that thread tid, whose request is being served, founds. */
void ss_family_found(struct ss_family *family, pid_t tid);
void ss_family_close(struct ss_family *family);

/* False once the creating process has ended (a zombie has ended). */
bool ss_family_creator_lives(const struct ss_family *family);

/* May thread tid see a draft of this family? ino is the draft's inode number as the mount shows it, 0 when
 * there is no draft yet. */
bool ss_family_includes(const struct ss_fs *fs, const struct ss_family *family, ino_t ino, pid_t tid);

#endif
