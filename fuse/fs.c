#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "core/proc.h"
#include "core/util.h"
#include "draft_index.h"
#include "judge.h"
#include "ops.h"
#include "passthrough.h"
#include "save.h"
#include "settle.h"

#define NODE_BUCKETS (SS_MAX_NODES / 4)
#define SHARED_SPACE (((sizeof(struct ss_shared) - 1) / 4096 + 1) * 4096)
#define LAYOUT_VERSION 2         /* to be raised when a field changes its meaning and not its place */
#define FUSECTL_MAGIC 0x65735543 /* FUSE_CTL_SUPER_MAGIC of Linux fs/fuse/control.c */

static int create_root(struct ss_fs *fs, int backing_fd)
{
    struct stat st;
    uint32_t index;

    if (fstat(backing_fd, &st) < 0)
        return -errno;
    int fd = fcntl(backing_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    return ss_node_lookup(fs, fd, &st, SS_NONE, "", &index); /* the first record: FUSE_ROOT_ID; never forgotten */
}

uint64_t ss_fs_layout(void)
{
    const uint64_t facts[] = {
        LAYOUT_VERSION,         sizeof(struct ss_shared), sizeof(struct ss_node), sizeof(struct ss_handle),
        sizeof(struct ss_save), sizeof(struct ss_slot),   SS_MAX_NODES,           SS_MAX_HANDLES,
        SS_MAX_SAVES,           SS_SLOT_BUFFER_SIZE,
    };
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < SS_ARRAY_SIZE(facts); i++)
        hash = (hash ^ facts[i]) * 0x100000001b3u;
    return hash;
}

static size_t arena_size(void)
{
    return SHARED_SPACE + ss_pool_space(sizeof(struct ss_node), SS_MAX_NODES) +
           ss_pool_space(sizeof(struct ss_handle), SS_MAX_HANDLES) +
           ss_pool_space(sizeof(struct ss_save), SS_MAX_SAVES) + SS_SLOTS_MAX * SS_SLOT_BUFFER_SIZE;
}

/* Everything that is not in the arena, and where in the arena things are. */
static int lay_out(struct ss_fs *fs)
{
    size_t offset = SHARED_SPACE;

    fs->shared = (struct ss_shared *)(void *)fs->arena.memory;
    int r =
        ss_pool_init(&fs->nodes, &fs->arena, &offset, sizeof(struct ss_node), SS_MAX_NODES, &fs->shared->nodes_used);
    if (r == 0)
        r = ss_pool_init(&fs->handles, &fs->arena, &offset, sizeof(struct ss_handle), SS_MAX_HANDLES,
                         &fs->shared->handles_used);
    if (r == 0)
        r = ss_pool_init(&fs->saves, &fs->arena, &offset, sizeof(struct ss_save), SS_MAX_SAVES,
                         &fs->shared->saves_used);
    fs->requests = fs->arena.memory + offset;
    fs->node_buckets = malloc(NODE_BUCKETS * sizeof(uint32_t));
    if (r == 0 && !fs->node_buckets)
        r = -ENOMEM;
    if (r < 0)
        return r;
    memset(fs->node_buckets, 0xff, NODE_BUCKETS * sizeof(uint32_t));
    memset(fs->save_buckets, 0xff, sizeof fs->save_buckets);
    ss_draft_index_clear(fs);
    fs->deferred = fs->settling = fs->settling_last = SS_NONE;
    fs->settle_epoll = fs->settle_event = fs->chores_event = -1;
    return -pthread_mutex_init(&fs->tables, NULL);
}

int ss_fs_create(struct ss_fs *fs, int backing_fd)
{
    int r = ss_arena_create(&fs->arena, arena_size());
    if (r == 0)
        r = lay_out(fs);
    if (r < 0)
        return r;
    fs->root = fs->shared->root = backing_fd;
    fs->shared->layout = ss_fs_layout();
    atomic_store(&fs->shared->counting.node, SS_NONE);
    atomic_store(&fs->shared->serial, 1);
    return create_root(fs, backing_fd);
}

int ss_fs_attach(struct ss_fs *fs, int fd)
{
    int r = ss_arena_attach(&fs->arena, fd, arena_size());
    if (r == 0)
        r = lay_out(fs);
    if (r == 0 && fs->shared->layout != ss_fs_layout())
        r = -EPROTONOSUPPORT;
    if (r == 0)
        fs->root = fs->shared->root;
    return r == -EINVAL ? -EPROTONOSUPPORT : r;
}

void ss_fs_destroy(struct ss_fs *fs)
{
    pthread_mutex_destroy(&fs->tables);
    free(fs->node_buckets);
    ss_pool_destroy(&fs->nodes);
    ss_pool_destroy(&fs->handles);
    ss_pool_destroy(&fs->saves);
    ss_arena_destroy(&fs->arena);
    close(fs->root);
}

uint32_t ss_handle_take(struct ss_fs *fs, enum ss_handle_kind kind, int fd, uint32_t node, uint32_t save, bool writes)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t index = ss_pool_take(&fs->handles);
    if (index != SS_NONE) {
        struct ss_handle *handle = ss_pool_at(&fs->handles, index);
        handle->generation = atomic_fetch_add(&fs->shared->generation, 1);
        handle->fd = fd;
        handle->node = node;
        handle->save = save;
        handle->writes = writes;
        ss_slot_note_handle(ss_handle_fh(fs, index));
        atomic_store(&handle->kind, kind);
        ss_node_ref(fs, node);
        if (save != SS_NONE)
            ss_save_ref(fs, save);
    }
    pthread_mutex_unlock(&fs->tables);
    return index;
}

struct ss_handle *ss_handle_at(struct ss_fs *fs, uint64_t fh)
{
    return (struct ss_handle *)(void *)(fs->handles.base + (uint32_t)fh * fs->handles.record_size);
}

uint64_t ss_handle_fh(struct ss_fs *fs, uint32_t index)
{
    return (uint64_t)ss_handle_at(fs, index)->generation << 32 | index;
}

bool ss_handle_is_open(struct ss_fs *fs, uint64_t fh)
{
    const struct ss_handle *handle = ss_pool_at(&fs->handles, (uint32_t)fh);
    return handle && atomic_load(&handle->kind) != SS_HANDLE_FREE && handle->generation == fh >> 32;
}

void ss_handle_give(struct ss_fs *fs, uint32_t index)
{
    pthread_mutex_lock(&fs->tables);
    struct ss_handle *handle = ss_handle_at(fs, index);
    ss_slot_drop_handle(ss_handle_fh(fs, index));
    struct ss_node *node = ss_pool_at(&fs->nodes, handle->node);
    node->through_us -= handle->through_us;
    atomic_store(&handle->kind, SS_HANDLE_FREE);
    ss_fs_close_later(fs, handle->fd);
    ss_node_unref(fs, handle->node);
    if (handle->save != SS_NONE)
        ss_save_unref(fs, handle->save);
    ss_pool_give(&fs->handles, index);
    pthread_mutex_unlock(&fs->tables);
}

void ss_handle_rebuild(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->handles.used; i++) {
        const struct ss_handle *handle = ss_handle_at(fs, i);
        if (handle->kind == SS_HANDLE_FREE)
            ss_pool_give(&fs->handles, i);
        if (handle->kind == SS_HANDLE_IMAGE)
            ((struct ss_node *)ss_pool_at(&fs->nodes, handle->node))->through_us += handle->through_us;
        if (handle->kind != SS_HANDLE_SAVE)
            continue;
        struct ss_save *save = ss_save_at(fs, handle->save);
        save->handles++;
        save->writers += handle->writes;
        save->unflushed += handle->writes && !handle->flushed;
    }
}

void ss_fs_close_later(struct ss_fs *fs, int fd)
{
    if (fd < 0)
        return;
    if (fs->closing_count < SS_CLOSING_MAX)
        fs->closing[fs->closing_count++] = fd;
    else
        close(fd);
}

void ss_fs_close_pending(struct ss_fs *fs)
{
    int fds[SS_CLOSING_MAX];

    pthread_mutex_lock(&fs->tables);
    uint32_t count = fs->closing_count;
    memcpy(fds, fs->closing, count * sizeof fds[0]);
    fs->closing_count = 0;
    pthread_mutex_unlock(&fs->tables);
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
    ss_passthrough_forget_pending(fs);
}

/* An aborted connection stays listed as long as files are open in it; one whose mount is gone is not. */
static bool is_listed(const struct ss_fs *fs, dev_t device)
{
    char path[64];
    struct statfs st;
    dev_t mounted;

    if (statfs("/sys/fs/fuse/connections", &st) == 0 && st.f_type == FUSECTL_MAGIC) {
        snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u", minor(device));
        return access(path, F_OK) == 0;
    }
    return ss_proc_mount_device(fs->mount, &mounted) == 0 && mounted == device;
}

/* The kernel lets us know that a mount goes a moment before it takes it off its list. */
static bool mount_is_gone(const struct ss_fs *fs)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    dev_t device = atomic_load(&fs->shared->device);

    for (int i = 0; device && i < 200; i++) {
        if (!is_listed(fs, device))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void release_handles(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->handles.used; i++) {
        struct ss_handle *handle = ss_handle_at(fs, i);
        if (handle->kind == SS_HANDLE_SAVE)
            ss_judge_release(fs, handle->save, handle);
        if (handle->kind != SS_HANDLE_FREE)
            ss_handle_give(fs, i);
    }
    while (ss_judge_deferred(fs))
        continue;
}

bool ss_fs_release_rest(struct ss_fs *fs)
{
    bool gone = mount_is_gone(fs);

    if (gone)
        release_handles(fs);
    ss_settle_finish(fs);
    ss_fs_close_pending(fs);
    return gone;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct ss_fs *fs = userdata;

    /* DONT_MASK: the umask is applied in the backing directory, where a default ACL takes its place. */
    conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL |
                                   FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO);
    /* The loop looks at each request before it is handled, so requests come into memory, not a pipe. Nor are answers
     * spliced: libfuse writes the length into a header that is in the pipe by reference already, and when the process
     * forks in between (see trim.c) that is another page; the kernel refuses such an answer, and libfuse gives none.
     * Locks stay with the kernel. */
    conn->want &=
        ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS |
                    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
    /* RELEASE is a background request: it must not queue behind a limit while later requests overtake it. */
    conn->max_background = 32768;
    conn->congestion_threshold = 24576;
    ss_passthrough_init(fs, conn);
    fs->initialised(fs);
}

const struct fuse_lowlevel_ops ss_ops = {
    .init = op_init,
    .lookup = ss_op_lookup,
    .forget = ss_op_forget,
    .forget_multi = ss_op_forget_multi,
    .getattr = ss_op_getattr,
    .setattr = ss_op_setattr,
    .readlink = ss_op_readlink,
    .mknod = ss_op_mknod,
    .mkdir = ss_op_mkdir,
    .unlink = ss_op_unlink,
    .rmdir = ss_op_rmdir,
    .symlink = ss_op_symlink,
    .rename = ss_op_rename,
    .link = ss_op_link,
    .create = ss_op_create,
    .open = ss_op_open,
    .read = ss_op_read,
    .write = ss_op_write,
    .flush = ss_op_flush,
    .release = ss_op_release,
    .fsync = ss_op_fsync,
    .fallocate = ss_op_fallocate,
    .lseek = ss_op_lseek,
    .copy_file_range = ss_op_copy_file_range,
    .opendir = ss_op_opendir,
    .readdir = ss_op_readdir,
    .releasedir = ss_op_releasedir,
    .fsyncdir = ss_op_fsyncdir,
    .statfs = ss_op_statfs,
    .setxattr = ss_op_setxattr,
    .getxattr = ss_op_getxattr,
    .listxattr = ss_op_listxattr,
    .removexattr = ss_op_removexattr,
};
