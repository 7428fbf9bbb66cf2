/* Digests in the shadow of the disk: while an early sync (writeout.h) or a program's own fsync of a draft waits for it,
 * what was written so far is digested, as far as that gets. What is changed afterwards is forgotten again, so the last
 * close finds only that to do. Only of what goes through us: nobody tells what the kernel changes by itself. A save's
 * memo (save.memo) belongs to this worker alone; a successor begins anew. */
#ifndef SAVESEAL_FUSE_AHEAD_H
#define SAVESEAL_FUSE_AHEAD_H

#include "save.h"

/* fsync or fdatasync of a draft, and digests meanwhile. Returns what ss_content_fsync does. */
int ss_ahead_fsync(struct ss_fs *fs, struct ss_save *save, bool data_only);

/* The same for an early sync, for which nobody waits. Of a save with O_DIRECT (save.unbuffered) the pages are dropped
 * then: to write it they are needed, but not longer, and the digests need not be read from the disk in the end. */
int ss_ahead_write_out(struct ss_fs *fs, struct ss_save *save);

/* The memo to digest the draft with, or NULL: when the kernel writes it by itself, what is known may be old. */
struct ss_digest_memo *ss_ahead_known(struct ss_save *save);

/* Bytes [start, end) were changed, and nobody knows yet. */
void ss_ahead_forget(struct ss_save *save, uint64_t start, uint64_t end);

#endif
