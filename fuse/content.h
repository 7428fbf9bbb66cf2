/* Changing what a save holds: every write, truncation and allocation goes through here, so that none is missed by the
 * verdict. Functions return bytes or 0, or -errno. Thread-safe; none is called with a lock held, except as noted. */
#ifndef SAVESEAL_FUSE_CONTENT_H
#define SAVESEAL_FUSE_CONTENT_H

#include "core/proc.h"
#include "save.h"

/* Makes the empty draft of a save that edits nothing, owned by the caller. Before the save is known to anyone else. */
int ss_content_create(struct ss_fs *fs, struct ss_save *save, const struct fuse_ctx *caller, mode_t mode);

/* page_cache: written back from the kernel's pages, so that tid says nothing about who wrote. */
ssize_t ss_content_write(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, bool page_cache,
                         const void *buf, size_t size, off_t off);

/* Another than root changes it: set-id bits go. The kernel leaves that to us (FUSE_HANDLE_KILLPRIV_V2). */
void ss_content_drop_set_id(struct ss_save *save);

/* May be called with busy claimed. */
int ss_content_truncate(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, off_t size);

int ss_content_allocate(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, int mode,
                        off_t off, off_t len);

/* Copies from descriptor `from` into the save, like copy_file_range(2). */
ssize_t ss_content_copy(struct ss_fs *fs, struct ss_save *save, struct ss_handle *handle, pid_t tid, int from,
                        off_t from_off, off_t off, size_t len);

/* The kernel writes the draft by itself, and handle is being closed: it may have been changed by whom it is closed by.
 * One who goes on is only believed to have written if he is the last: many are forked, and merely close. */
void ss_content_note_unseen(struct ss_save *save, struct ss_handle *handle, const struct ss_proc_close *how);

/* Sets the draft's times, like utimensat(2): no change of what is in it. */
int ss_content_set_times(struct ss_save *save, const struct timespec times[2]);

/* fsync or fdatasync of the draft. A failure spoils the save for good, nothing can make up for it. The kernel reports a
 * write-back error once to each open file description; should the worker die between the call and noting the error, its
 * successor learns of it from the witness. Returns 0 or -errno. Takes state. */
int ss_content_fsync(struct ss_save *save, bool data_only);

/* The same for a program, which may not have a draft yet. */
int ss_content_sync(struct ss_fs *fs, struct ss_save *save, bool data_only);

/* A draft that had been committed is changed again, or its save is spoilt: a crash must not publish it. Its seal no
 * longer fits either, so this is the second line of defence. Durable when it returns; costs nothing when there was no
 * commitment. */
void ss_content_take_back(struct ss_save *save);

#endif
