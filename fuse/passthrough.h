/* Kernel passthrough: the kernel reads an image's file by itself, without asking us (docs/design.md, "Speed").
 *
 * Who reads is decided per node, because all open files of a FUSE inode must agree: while any is open through us, so is
 * every further one; once the kernel knows the node's file it keeps it as long as the node lives. The kernel names the
 * file by a number, the backing id, which belongs to the connection and outlives a worker.
 *
 * libfuse before 3.17 has no words for this, nor for two flags of direct I/O. Then its answers are completed on their
 * way out, by ss_passthrough_complete; with a newer one that does nothing. Thread-safe. */
#ifndef SAVESEAL_FUSE_PASSTHROUGH_H
#define SAVESEAL_FUSE_PASSTHROUGH_H

#include "fs.h"
#include "save.h"

/* INIT: asks for what the kernel offers and the options allow. */
void ss_passthrough_init(struct ss_fs *fs, struct fuse_conn_info *conn);

/* An answer is about to go out. */
void ss_passthrough_complete(struct ss_fs *fs, const struct iovec *iov, int count);

/* The image of node is being opened as handle, whose descriptor is open for reading: has the kernel read it by itself,
 * if that is possible. Returns whether it does; then nothing is to be said about the kernel's page cache. */
bool ss_passthrough_open_image(struct ss_fs *fs, struct ss_node *node, struct ss_handle *handle,
                               struct fuse_file_info *fi);

/* A save's node is being opened, its handle counted. Where the user says that all images have a mark of their own and
 * there is a draft, the kernel writes that by itself (but not with O_DIRECT, when all of it is to be digested); else
 * data goes through us, without the kernel's page cache in between. */
void ss_passthrough_open_save(struct ss_fs *fs, struct ss_save *save, struct fuse_file_info *fi);

/* With tables held: the kernel may forget that number (0: none). */
void ss_passthrough_forget_later(struct ss_fs *fs, int32_t backing);

/* Does what was put off. Called without locks. */
void ss_passthrough_forget_pending(struct ss_fs *fs);

/* In a new worker, before there are threads: the kernel forgets the numbers that the old one had and nobody knows. */
void ss_passthrough_adopt(struct ss_fs *fs);

#endif
