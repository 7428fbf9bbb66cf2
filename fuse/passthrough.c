#include "passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "core/util.h"
#include "log.h"
#include "writeout.h"

/* Linux 6.9, include/uapi/linux/fuse.h; older headers lack them. In the first word of INIT's flags: */
#define KILLPRIV_FLAG (UINT32_C(1) << 28) /* FUSE_HANDLE_KILLPRIV_V2, 5.11 */
/* And in the second: */
#define PASSTHROUGH_FLAG2 (UINT32_C(1) << 5) /* FUSE_PASSTHROUGH */
#define DIRECT_MMAP_FLAG2 (UINT32_C(1) << 4) /* FUSE_DIRECT_IO_ALLOW_MMAP, 6.6 */
#define PASSTHROUGH_OPEN (UINT32_C(1) << 7)  /* FOPEN_PASSTHROUGH */

struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* How many file systems may stand on one another, the mount with its passthrough among them: so the backing directory's
 * stands on none, and one other (overlayfs) may stand on the mount. The kernel allows two. */
#define STACK_DEPTH 1

/* Numbers go up; so many may have been taken that nobody had noted yet when a worker died. */
#define UNNOTED_MAX ((int32_t)(2 * SS_SLOT_THREADS_MAX))

/* ---- what libfuse leaves out ---- */

#ifdef SS_FUSE_KNOWS_PASSTHROUGH

static void ask(struct fuse_conn_info *conn, uint32_t flags, uint32_t flags2)
{
    if (flags & KILLPRIV_FLAG)
        conn->want |= conn->capable & (uint32_t)FUSE_CAP_HANDLE_KILLPRIV_V2;
    if (flags2 & DIRECT_MMAP_FLAG2)
        conn->want |= conn->capable & (uint32_t)FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
    if (flags2 & PASSTHROUGH_FLAG2) {
        conn->want |= conn->capable & (uint32_t)FUSE_CAP_PASSTHROUGH;
        conn->max_backing_stack_depth = STACK_DEPTH - 1; /* without the mount: libfuse adds that */
    }
}

void ss_passthrough_complete(struct ss_fs *fs, const struct iovec *iov, int count)
{
    (void)fs;
    (void)iov;
    (void)count;
}

static void set_backing(struct fuse_file_info *fi, int32_t backing)
{
    fi->backing_id = backing;
}

static void set_parallel(struct fuse_file_info *fi)
{
    fi->parallel_direct_writes = 1;
}

#else

/* What the answer that the calling thread is about to give needs besides. */
static _Thread_local struct {
    uint32_t flags, flags2; /* INIT */
    uint32_t open_flags;
    int32_t backing;
} missing;

static void ask(struct fuse_conn_info *conn, uint32_t flags, uint32_t flags2)
{
    (void)conn;
    missing.flags = flags;
    missing.flags2 = flags2;
}

static void set_backing(struct fuse_file_info *fi, int32_t backing)
{
    (void)fi;
    missing.open_flags |= PASSTHROUGH_OPEN;
    missing.backing = backing;
}

static void set_parallel(struct fuse_file_info *fi)
{
    (void)fi;
    missing.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
}

static void complete_init(struct fuse_init_out *out)
{
    const uint32_t depth = STACK_DEPTH; /* the word behind flags2, max_stack_depth */

    out->flags |= FUSE_INIT_EXT | missing.flags;
    out->flags2 |= missing.flags2;
    if (missing.flags2 & PASSTHROUGH_FLAG2)
        memcpy((char *)&out->flags2 + sizeof out->flags2, &depth, sizeof depth);
}

/* The word behind open_flags is the backing id. */
static void complete_open(struct fuse_open_out *out)
{
    out->open_flags |= missing.open_flags;
    memcpy((char *)&out->open_flags + sizeof out->open_flags, &missing.backing, sizeof missing.backing);
}

/* The end of the answer, if it is long enough and no error. */
static void *tail(const struct iovec *iov, int count, size_t size)
{
    const struct iovec *last = &iov[count - 1];
    const struct fuse_out_header *header = iov[0].iov_base;

    return header->error == 0 && count > 1 && last->iov_len >= size ? (char *)last->iov_base + last->iov_len - size
                                                                    : NULL;
}

void ss_passthrough_complete(struct ss_fs *fs, const struct iovec *iov, int count)
{
    (void)fs;
    if (missing.flags || missing.flags2) {
        struct fuse_init_out *init = tail(iov, count, sizeof *init);
        if (init)
            complete_init(init);
    } else if (missing.open_flags) {
        struct fuse_open_out *open = tail(iov, count, sizeof *open);
        if (open)
            complete_open(open);
    }
    memset(&missing, 0, sizeof missing);
}

#endif

static void tell(struct ss_fs *fs, const char *why)
{
    if (!atomic_exchange(&fs->shared->told_no_passthrough, true))
        ss_log(LOG_INFO, "%s: the kernel can not read images by itself: %s", fs->mount, why);
}

/* The kernel offers none. */
static const char *why_not_offered(void)
{
    struct utsname kernel;
    int version, patch;

    bool known = uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &version, &patch) == 2;
    return known && version * 1000 + patch < 6009
               ? "it is older than Linux 6.9"
               : "it offers no passthrough (was it built with CONFIG_FUSE_PASSTHROUGH?)";
}

void ss_passthrough_init(struct ss_fs *fs, struct fuse_conn_info *conn)
{
    const struct fuse_init_in *init = (const void *)(fs->shared->init + sizeof(struct fuse_in_header));
    uint32_t wanted = (fs->no_passthrough ? 0 : PASSTHROUGH_FLAG2) | (fs->no_direct ? 0 : DIRECT_MMAP_FLAG2);

    bool extended = fs->shared->init_len >= sizeof(struct fuse_in_header) + sizeof *init && init->flags & FUSE_INIT_EXT;
    uint32_t offered = extended ? init->flags2 & wanted : 0;
    fs->direct_io = offered & DIRECT_MMAP_FLAG2; /* else shared mappings of drafts would be refused */
    bool is_offered = offered & PASSTHROUGH_FLAG2;
    if (!fs->privileged)
        offered &= ~PASSTHROUGH_FLAG2;
    atomic_store(&fs->passthrough, offered & PASSTHROUGH_FLAG2);
    if (!fs->passthrough && !fs->no_passthrough)
        tell(fs, is_offered ? "savesealfs is not root" : why_not_offered());
    /* Else the kernel asks for the file's capabilities before each write that it does by itself. */
    ask(conn, extended ? init->flags & KILLPRIV_FLAG : 0, offered);
}

/* ---- backing ids ---- */

static void note_given(struct ss_fs *fs, int32_t backing)
{
    int32_t last = atomic_load(&fs->shared->backing_last);

    while (backing > last && !atomic_compare_exchange_weak(&fs->shared->backing_last, &last, backing))
        continue;
}

/* It can not be done at all; images are read through us from then on. */
static void give_up(struct ss_fs *fs, int error)
{
    atomic_store(&fs->passthrough, false);
    if (error == ELOOP)
        tell(fs, "the backing file system stands on another one");
    else if (error == EPERM)
        tell(fs, "savesealfs has no CAP_SYS_ADMIN");
    else
        tell(fs, strerrordesc_np(error));
}

/* Tells the kernel of a file. Returns its number, 0 when that was not possible. */
static int32_t make_known(struct ss_fs *fs, int fd)
{
    struct backing_map map = {.fd = fd};

    int backing = ioctl(fs->shared->session, BACKING_OPEN, &map);
    if (backing > 0) {
        note_given(fs, backing);
        return backing;
    }
    if (errno == EPERM || errno == ELOOP || errno == EOPNOTSUPP || errno == ENOTTY)
        give_up(fs, errno);
    return 0;
}

static void forget(struct ss_fs *fs, int32_t backing)
{
    uint32_t id = (uint32_t)backing;

    ioctl(fs->shared->session, BACKING_CLOSE, &id); /* ENOENT: it was forgotten before */
}

bool ss_passthrough_open_image(struct ss_fs *fs, struct ss_node *node, struct ss_handle *handle,
                               struct fuse_file_info *fi)
{
    pthread_mutex_lock(&fs->tables);
    bool known = node->backing != 0;
    pthread_mutex_unlock(&fs->tables);
    int32_t made = known || !atomic_load(&fs->passthrough) ? 0 : make_known(fs, handle->fd), surplus = made;

    pthread_mutex_lock(&fs->tables);
    if (made != 0 && node->backing == 0 && node->through_us == 0) {
        node->backing = made;
        surplus = 0;
    }
    int32_t backing = node->backing;
    handle->through_us = backing == 0;
    node->through_us += handle->through_us;
    pthread_mutex_unlock(&fs->tables);

    if (surplus != 0)
        forget(fs, surplus);
    if (backing != 0)
        set_backing(fi, backing);
    return backing != 0;
}

/* By a description of its own: the draft's holds its lock, which must end with us. */
static int32_t make_draft_known(struct ss_fs *fs, int draft)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", draft);
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? 0 : make_known(fs, fd);
}

/* What the kernel writes past the page cache would have to be read from the disk again to be digested; what goes
 * through us is digested on its way. */
static bool is_better_through_us(struct ss_fs *fs, struct ss_save *save)
{
    struct statfs st;

    if (!fs->digest_full || !atomic_load(&save->unbuffered))
        return false;
    return fstatfs(atomic_load(&save->draft), &st) == 0 && st.f_type != TMPFS_MAGIC;
}

/* As with images, all that are open at a time must agree: so it begins with the first. */
static int32_t draft_backing(struct ss_fs *fs, struct ss_save *save)
{
    int draft = atomic_load(&save->draft);

    if (atomic_load(&save->backing) != 0 || !fs->marked_only || draft < 0 || !atomic_load(&fs->passthrough) ||
        is_better_through_us(fs, save))
        return atomic_load(&save->backing);
    int32_t made = make_draft_known(fs, draft), surplus = made;
    pthread_mutex_lock(&save->state);
    if (made != 0 && save->backing == 0 && save->handles == 1) {
        atomic_store(&save->backing, made);
        surplus = 0;
    }
    pthread_mutex_unlock(&save->state);
    if (surplus != 0)
        forget(fs, surplus);
    return atomic_load(&save->backing);
}

void ss_passthrough_open_save(struct ss_fs *fs, struct ss_save *save, struct fuse_file_info *fi)
{
    int32_t backing = draft_backing(fs, save);

    if (backing != 0) {
        set_backing(fi, backing);
        ss_writeout_notice(fs);
    } else if (fs->direct_io) {
        fi->direct_io = 1;
        set_parallel(fi);
    }
}

void ss_passthrough_forget_later(struct ss_fs *fs, int32_t backing)
{
    _Atomic int32_t *unwanted = fs->shared->unwanted_backings;
    uint32_t i = 0;

    if (backing == 0)
        return;
    while (i < SS_CLOSING_MAX && atomic_load(&unwanted[i]) != 0)
        i++;
    if (i == SS_CLOSING_MAX)
        forget(fs, backing);
    else
        atomic_store(&unwanted[i], backing);
    atomic_store(&fs->any_unwanted, true);
}

void ss_passthrough_forget_pending(struct ss_fs *fs)
{
    _Atomic int32_t *unwanted = fs->shared->unwanted_backings;

    if (!atomic_load(&fs->any_unwanted) || !atomic_exchange(&fs->any_unwanted, false))
        return;
    for (uint32_t i = 0; i < SS_CLOSING_MAX; i++) {
        int32_t backing = atomic_load(&unwanted[i]);
        if (backing == 0)
            continue;
        forget(fs, backing); /* before it is crossed out: a worker may die in between */
        atomic_compare_exchange_strong(&unwanted[i], &backing, 0);
    }
}

void ss_passthrough_adopt(struct ss_fs *fs)
{
    int32_t last = atomic_load(&fs->shared->backing_last);
    int32_t first = last > UNNOTED_MAX ? last - UNNOTED_MAX : 1;
    bool known[2 * UNNOTED_MAX + 1] = {false};

    if (!fs->resumed)
        return;
    for (uint32_t i = 0; i < *fs->nodes.used; i++) {
        const struct ss_node *node = ss_pool_at(&fs->nodes, i);
        if (node->kind != SS_NODE_FREE && node->backing >= first && node->backing <= last + UNNOTED_MAX)
            known[node->backing - first] = true;
    }
    for (uint32_t i = 0; i < *fs->saves.used; i++) {
        const struct ss_save *save = ss_save_at(fs, i);
        if (save->in_use && save->backing >= first && save->backing <= last + UNNOTED_MAX)
            known[save->backing - first] = true;
    }
    for (int32_t id = first; id <= last + UNNOTED_MAX; id++)
        if (!known[id - first])
            forget(fs, id);
    atomic_store(&fs->any_unwanted, true);
    ss_passthrough_forget_pending(fs);
}
