/* The operations, by kind. Each do_x() does the work and returns 0 or -errno; each ss_op_x() replies exactly once. */
#ifndef SAVESEAL_FUSE_OPS_H
#define SAVESEAL_FUSE_OPS_H

#include "fs.h"
#include "save.h"

/* How long the kernel may believe what it was told, in seconds. An image does not change under its node. Of
 * a name for which there is a save nothing may be believed: what it shows depends on who asks. */
#define SS_TIMEOUT 1.0

/* ops_name.c */
void ss_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ss_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void ss_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void ss_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
/* ops_rename.c */
void ss_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                  unsigned int flags);
/* ops_make.c */
void ss_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void ss_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ss_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ss_op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void ss_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void ss_op_readlink(fuse_req_t req, fuse_ino_t ino);
/* ops_open.c */
void ss_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void ss_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ss_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ss_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* ops_data.c */
void ss_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ss_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void ss_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ss_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void ss_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void ss_op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t out,
                           off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);
/* ops_attr.c */
void ss_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ss_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void ss_op_statfs(fuse_req_t req, fuse_ino_t ino);
void ss_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void ss_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ss_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ss_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
/* ops_dir.c */
void ss_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ss_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ss_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ss_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* Shared by them. */

/* The O_PATH descriptor of a directory node, or -ESTALE. */
int ss_dir_fd(struct ss_fs *fs, fuse_ino_t ino);

/* False when the file fd (-1: a new one) could be written in place but never be replaced by a rename: it or the
 * directory is immutable or append-only. */
bool ss_may_be_replaced(int dir, int fd);

bool ss_exists(int dir, const char *name);

/* Before a request makes name in dir: did a worker that died make it already? Else notes that it is about to be made.
 */
bool ss_made_before(int dir, const char *name, mode_t type);

/* Is the kernel to remember no name just now? */
bool ss_names_held(struct ss_fs *fs);

/* A save that failed over an old image: to its own family, too, the old image is what the name shows. Without an old
 * image the family goes on seeing what it wrote. */
bool ss_gave_way(struct ss_fs *fs, uint32_t index, fuse_ino_t parent, const char *name);

/* Something that must not be done twice is about to be done to the save's draft, if it has one. */
void ss_note_begun_to(struct ss_fs *fs, uint32_t index);

/* Looks name up as thread tid sees it; entry is then one more lookup of its node. */
int ss_lookup(struct ss_fs *fs, fuse_ino_t parent, const char *name, pid_t tid, struct fuse_entry_param *entry);

/* Takes a lookup of a save's node and fills entry. -ENOENT when it lost its name meanwhile and must_be_linked. */
int ss_save_entry(struct ss_fs *fs, uint32_t index, bool must_be_linked, struct fuse_entry_param *entry);

/* Has the family of tid a save of name that can be gone on with? Then its open by tid is expected from now on.
 * trusts_content: it means to keep what the name holds. */
bool ss_join_save(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid, bool trusts_content);

/* For writing, an image's own node will not do: everybody shares it. So the family gets a save of the name, and ESTALE
 * makes the kernel walk the path again, under the same identity, to the save's node. The caller never sees the error.
 * trusts_content: the image's header must agree with its seal. When the name is gone by now, what the caller had looked
 * up is edited. Always returns an error: -ESTALE, or what is wrong. The second is for a save's node whose save is over.
 */
int ss_redirect_image(struct ss_fs *fs, struct ss_node *node, bool trusts_content, pid_t tid);
int ss_redirect_save(struct ss_fs *fs, struct ss_save *save, bool trusts_content, pid_t tid);

/* Attributes of a node as they are now. */
int ss_node_stat(struct ss_fs *fs, struct ss_node *node, struct stat *st);
double ss_attr_timeout(const struct ss_fs *fs, const struct ss_node *node, const struct stat *st);

#endif
