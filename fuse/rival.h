/* What others save under the same name decides whether a save may still get it, and what its last close() says. */
#ifndef SAVESEAL_FUSE_RIVAL_H
#define SAVESEAL_FUSE_RIVAL_H

#include "save.h"

/* Waits for others that settle, when the handle may change anything; interrupted or not. req NULL: nobody waits. */
void ss_rival_wait(struct ss_fs *fs, fuse_req_t req, const struct ss_handle *handle);

/* The save of the handle is prepared, and nothing speaks against it but perhaps who has its name. Of those that must
 * not replace just anything (O_EXCL, a change of a part) the first one that is told "yes" gets it, and the others wait
 * for that (not for others that settle, with req NULL). Returns 0, or what close() has to say, and then the save is
 * spoilt. Nothing claimed, no locks. */
int ss_rival_decide(struct ss_fs *fs, fuse_req_t req, const struct ss_handle *handle);

#endif
