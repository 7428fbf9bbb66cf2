/* Reading and writing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "content.h"
#include "ops.h"
#include "core/util.h"

/* The descriptor that shows what the handle shows now. */
static int data_fd(struct ss_fs *fs, const struct ss_handle *handle)
{
    return handle->kind == SS_HANDLE_SAVE ? ss_save_data(ss_save_at(fs, handle->save)) : handle->fd;
}

/* The save that the handle may change, or NULL. */
static struct ss_save *writable_save(struct ss_fs *fs, const struct ss_handle *handle)
{
    return handle->kind == SS_HANDLE_SAVE && handle->writes ? ss_save_at(fs, handle->save) : NULL;
}

void ss_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    SS_AUTO_FREE char *buf = malloc(size);

    (void)ino;
    ssize_t n = buf ? ss_pread_full(data_fd(fs, ss_handle_at(fs, fi->fh)), buf, size, off) : -ENOMEM;
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buf, (size_t)n);
}

void ss_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi->fh);
    struct ss_save *save = writable_save(fs, handle);
    ssize_t n = -EBADF;

    (void)ino;
    if (save)
        n = ss_content_write(fs, save, handle, fuse_req_ctx(req)->pid, fi->writepage, buf, size, off);
    if (n > 0 && fuse_req_ctx(req)->uid != 0)
        ss_content_drop_set_id(save);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

void ss_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi->fh);
    int r;

    (void)ino;
    if (handle->kind == SS_HANDLE_SAVE)
        r = ss_content_sync(fs, ss_save_at(fs, handle->save), datasync);
    else
        r = fsync(handle->fd) < 0 ? -errno : 0;
    fuse_reply_err(req, -r);
}

void ss_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi->fh);
    struct ss_save *save = writable_save(fs, handle);

    (void)ino;
    int r = save ? ss_content_allocate(fs, save, handle, fuse_req_ctx(req)->pid, mode, off, len) : -EBADF;
    if (r == 0 && fuse_req_ctx(req)->uid != 0)
        ss_content_drop_set_id(save);
    fuse_reply_err(req, -r);
}

/* Only SEEK_DATA and SEEK_HOLE come here. The answer is returned, the offset of the shared descriptor means nothing. */
void ss_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct ss_fs *fs = ss_fs(req);

    (void)ino;
    off_t found = lseek(data_fd(fs, ss_handle_at(fs, fi->fh)), off, whence);
    if (found < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_lseek(req, found);
}

void ss_op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t out,
                           off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
    struct ss_fs *fs = ss_fs(req);
    struct ss_handle *handle = ss_handle_at(fs, fi_out->fh);
    struct ss_save *save = writable_save(fs, handle);
    int from = data_fd(fs, ss_handle_at(fs, fi_in->fh));
    ssize_t n = -EBADF;

    (void)in;
    (void)out;
    if (flags)
        n = -EINVAL;
    else if (save)
        n = ss_content_copy(fs, save, handle, fuse_req_ctx(req)->pid, from, off_in, off_out, len);
    if (n > 0 && fuse_req_ctx(req)->uid != 0)
        ss_content_drop_set_id(save);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}
