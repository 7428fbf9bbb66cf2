/* What is to be thought of a save: how its descriptors were closed, what failed, what its format says. Only looks and
 * remembers; judge.c acts on it. Thread-safe; where it says "with state held", the caller holds save.state. */
#ifndef SAVESEAL_FUSE_VERDICT_H
#define SAVESEAL_FUSE_VERDICT_H

#include "save.h"
#include "core/proc.h"

/* With state held. The first thing that spoils a save is its verdict. */
void ss_verdict_spoil(struct ss_save *save, enum ss_finding finding, const char *detail);

/* With state held: a process of the save has ended (SS_WRITER_KILLED, SS_WRITER_EXITED or SS_WRITER_VANISHED), and not
 * well. */
void ss_verdict_note_end(struct ss_save *save, enum ss_finding finding, int number);

/* Notes how a descriptor of handle is being closed. *last: all others are closed, too. Returns what is known to be
 * wrong by now as -errno for the closer, or 0. */
int ss_verdict_note_close(struct ss_save *save, struct ss_handle *handle, const struct ss_proc_close *how, bool *last);

/* With state held, at RELEASE: whoever held this descriptor last must have closed it well. */
void ss_verdict_note_release(struct ss_save *save, const struct ss_handle *handle);

/* With state held: the handle that is being released is all there ever was of the save, and it never reached its
 * process, which was killed inside open(). Nothing is lost with the empty draft. */
bool ss_verdict_never_began(struct ss_save *save, const struct ss_handle *handle);

/* With state held: nobody has it open for writing any more, nobody ever closed it, and nothing was written. */
bool ss_verdict_was_never_closed(struct ss_save *save);

/* Content changed after the last FLUSH: through a mapping that outlived its descriptor. No FLUSH tells how that process
 * ended, so looks at it now. Reads /proc. */
void ss_verdict_note_mapper(struct ss_save *save);

/* Does it matter how that process ends? It opened the save or wrote to it, or can't be told (0). */
bool ss_verdict_is_party(struct ss_save *save, pid_t tgid);

/* A writer that ignores SIGXFSZ sees EFBIG, but the kernel sends us nothing: the only trace is a file that ends exactly
 * at the writer's limit. *size, bytes: that limit. */
bool ss_verdict_stopped_at_limit(struct ss_save *save, pid_t pid, uint64_t *size);

/* With state held: failed writes become more and fewer (see core/failures.h). Each change takes effect in one store: a
 * worker may die at any time. */
void ss_verdict_add_failure(struct ss_save *save, uint64_t start, uint64_t end, int error);
void ss_verdict_resolve_failure(struct ss_save *save, uint64_t start, uint64_t end);

/* With state held: its writer has committed it, by the format's own mark, which said "partial" before in this very
 * save. A copy of a complete image says "complete" from its first byte on, and means nothing. */
bool ss_verdict_is_committed(const struct ss_save *save);

/* With state held: has nothing been changed since it was prepared? now: ss_verdict_written of just before. */
bool ss_verdict_is_current(const struct ss_save *save, const struct ss_stamp *now);

/* Of a draft that the kernel writes by itself only the file can tell when it was changed: its size and that time. */
struct ss_stamp ss_verdict_written(struct ss_save *save);

/* close() must not return 0 for what will not be published: how the writer ended could not be seen, and the format has
 * no mark of its own that could make up for it; or a sync failed. Returns 0 or -EIO. */
int ss_verdict_unpublishable(struct ss_save *save);

/* The verdict as things stand. *stale: it hangs on a preparation that is yet to be made. */
enum ss_finding ss_verdict_of(struct ss_save *save, char detail[SS_DETAIL_MAX], bool *stale);

#endif
