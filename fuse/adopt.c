#include "adopt.h"

#include <dirent.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"
#include "log.h"
#include "passthrough.h"
#include "save.h"

/* Workers that one request may bring down. One that waits for the disk may just have been there each time. */
#define FAULTS_MAX 3
#define LONG_FAULTS_MAX 10

static struct ss_node *node_at(struct ss_fs *fs, uint32_t index)
{
    return ss_pool_at(&fs->nodes, index);
}

/* --- references --- */

/* Every record in use is held once by this function, so that nothing is freed while it counts. */
static void hold_all(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->nodes.used; i++)
        node_at(fs, i)->refs = 1;
    for (uint32_t i = 0; i < *fs->saves.used; i++)
        ss_save_at(fs, i)->refs = 1;
}

static void count_node(struct ss_fs *fs, struct ss_node *node)
{
    if (node->kind == SS_NODE_IMAGE)
        ss_node_ref(fs, ss_node_key(node)->dir);
    if (node->kind != SS_NODE_SAVE)
        return;
    if (ss_save_at(fs, node->save)->in_use)
        ss_save_ref(fs, node->save);
    else
        node->save = SS_NONE; /* it was only about to begin */
}

static void count_save(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    ss_node_ref(fs, ss_save_where(save)->dir);
    if (save->linked) {
        ss_node_ref(fs, save->node);
        ss_save_ref(fs, index);
    }
    save->sync_only &= save->status == SS_SAVE_PUBLISHED; /* else that is still to be found out: see ss_judge_adopt */
    if (save->sync_only) {
        ss_save_ref(fs, index);
        save->next_deferred = fs->deferred;
        fs->deferred = index;
    }
}

static void count_handle(struct ss_fs *fs, const struct ss_handle *handle)
{
    ss_node_ref(fs, handle->node);
    if (handle->save != SS_NONE)
        ss_save_ref(fs, handle->save);
}

static void let_go_all(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->saves.used; i++)
        if (ss_save_at(fs, i)->in_use)
            ss_save_unref(fs, i);
    for (uint32_t i = 0; i < *fs->nodes.used; i++)
        if (node_at(fs, i)->kind != SS_NODE_FREE)
            ss_node_unref(fs, i);
}

static void count_references(struct ss_fs *fs)
{
    hold_all(fs);
    for (uint32_t i = 0; i < *fs->nodes.used; i++)
        count_node(fs, node_at(fs, i));
    for (uint32_t i = 0; i < *fs->saves.used; i++)
        if (ss_save_at(fs, i)->in_use)
            count_save(fs, i);
    for (uint32_t i = 0; i < *fs->handles.used; i++)
        if (ss_handle_at(fs, i)->kind != SS_HANDLE_FREE)
            count_handle(fs, ss_handle_at(fs, i));
    let_go_all(fs);
}

/* --- descriptors --- */

struct known {
    unsigned char *is; /* by number */
    int count;
};

static void know(void *context, int fd)
{
    struct known *known = context;

    if (fd >= 0 && fd < known->count)
        known->is[fd] = 1;
}

static void know_all(struct ss_fs *fs, struct known *known)
{
    know(known, fs->arena.fd);
    know(known, fs->root);
    know(known, fs->shared->session);
    for (uint32_t i = 0; i < fs->shared->kept_count; i++)
        know(known, fs->shared->kept[i]);
    for (uint32_t i = 0; i < *fs->nodes.used; i++) {
        if (node_at(fs, i)->kind != SS_NODE_FREE)
            know(known, node_at(fs, i)->fd);
    }
    for (uint32_t i = 0; i < *fs->handles.used; i++)
        if (ss_handle_at(fs, i)->kind != SS_HANDLE_FREE)
            know(known, ss_handle_at(fs, i)->fd);
    for (uint32_t i = 0; i < *fs->saves.used; i++)
        if (ss_save_at(fs, i)->in_use)
            ss_save_each_fd(ss_save_at(fs, i), know, known);
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++)
        if (ss_slot_at(fs, i)->state == SS_SLOT_ADOPTED)
            know(known, ss_slot_at(fs, i)->pin);
}

/* What the old worker had open for a moment, or had put off closing. */
static void close_strays(struct ss_fs *fs)
{
    DIR *dir = fs->shared->kept_count < SS_KEPT_MAX ? opendir("/proc/self/fd") : NULL;
    int last = 0;

    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        last = atoi(entry->d_name) > last ? atoi(entry->d_name) : last;
    struct known known = {.is = calloc((size_t)last + 1, 1), .count = last + 1};
    if (known.is) {
        know_all(fs, &known);
        know(&known, dirfd(dir));
        rewinddir(dir);
        for (struct dirent *entry; (entry = readdir(dir));)
            if (entry->d_name[0] != '.' && atoi(entry->d_name) <= last && !known.is[atoi(entry->d_name)])
                close(atoi(entry->d_name));
        free(known.is);
    }
    closedir(dir);
}

/* --- requests in hand --- */

/* Nothing follows from its not having been handled. */
static bool is_noise(const struct fuse_in_header *request)
{
    return request->opcode == FUSE_INTERRUPT || request->opcode == FUSE_INIT || request->opcode == FUSE_DESTROY;
}

/* The kernel hands these out before what waits in its queue. */
static bool overtakes(const struct fuse_in_header *request)
{
    return request->opcode == FUSE_INTERRUPT || request->opcode == FUSE_FORGET || request->opcode == FUSE_BATCH_FORGET;
}

/* Nobody sends a FORGET again. An entry is counted as done before it is: better to remember too long than too short. */
static bool finish_forget(struct ss_fs *fs, struct ss_slot *slot, const struct fuse_in_header *request)
{
    const struct fuse_forget_in *single = (const void *)(request + 1);
    const struct fuse_batch_forget_in *batch = (const void *)(request + 1);
    const struct fuse_forget_one *entries = (const void *)(batch + 1);

    if (request->opcode == FUSE_FORGET && slot->forgotten++ == 0)
        ss_node_forget(fs, request->nodeid, single->nlookup);
    while (request->opcode == FUSE_BATCH_FORGET && slot->forgotten < batch->count) {
        uint32_t i = slot->forgotten++;
        ss_node_forget(fs, entries[i].nodeid, entries[i].nlookup);
    }
    return request->opcode == FUSE_FORGET || request->opcode == FUSE_BATCH_FORGET;
}

static void release_slot(struct ss_fs *fs, struct ss_slot *slot)
{
    ss_slot_clear(fs, slot);
    atomic_store(&slot->state, SS_SLOT_FREE);
}

static struct ss_slot *find_adopted(struct ss_fs *fs, uint64_t unique)
{
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++) {
        struct ss_slot *slot = ss_slot_at(fs, i);
        if (slot->state == SS_SLOT_ADOPTED && ((ss_slot_request(fs, slot)->unique ^ unique) & ~SS_RESENT) == 0)
            return slot;
    }
    return NULL;
}

/* A request that was adopted before and came again is in two slots. The newer one knows more once it has inherited. */
static bool is_known_already(struct ss_fs *fs, struct ss_slot *slot)
{
    struct ss_slot *older = find_adopted(fs, ss_slot_request(fs, slot)->unique);

    if (older && slot->inherited) {
        if (older->pin == slot->pin)
            older->pin = -1; /* handed over */
        release_slot(fs, older);
    }
    if (older && !slot->inherited && older->pin == slot->pin)
        slot->pin = -1; /* not handed over yet */
    return older && !slot->inherited;
}

/* The save whose content, or whose last word about it, the request is; NULL for others. */
static struct ss_save *save_changed_by(struct ss_fs *fs, const struct fuse_in_header *request)
{
    const uint64_t *fh = (const void *)(request + 1);
    const struct fuse_copy_file_range_in *copy = (const void *)(request + 1);
    const struct fuse_setattr_in *attributes = (const void *)(request + 1);
    uint64_t lost;

    switch (request->opcode) {
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
    case FUSE_FLUSH:
    case FUSE_FSYNC:
        lost = *fh;
        break;
    case FUSE_COPY_FILE_RANGE:
        lost = copy->fh_out;
        break;
    case FUSE_SETATTR:
        if (!(attributes->valid & FATTR_FH) || !(attributes->valid & FATTR_SIZE))
            return NULL;
        lost = attributes->fh;
        break;
    default:
        return NULL;
    }
    bool open = ss_handle_is_open(fs, lost) && ss_handle_at(fs, lost)->kind == SS_HANDLE_SAVE;
    return open ? ss_save_at(fs, ss_handle_at(fs, lost)->save) : NULL;
}

/* It may have been done, and not counted: a preparation from before is good for nothing. */
static void count_change(struct ss_fs *fs, const struct fuse_in_header *request)
{
    struct ss_save *save =
        request->opcode == FUSE_FLUSH || request->opcode == FUSE_FSYNC ? NULL : save_changed_by(fs, request);
    if (save)
        atomic_fetch_add(&save->changes, 1);
}

static void adopt_slots(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++) {
        struct ss_slot *slot = ss_slot_at(fs, i);
        const struct fuse_in_header *request = ss_slot_request(fs, slot);
        if (slot->state != SS_SLOT_THREAD)
            continue;
        if (request->len == 0 || slot->answered || is_noise(request) || finish_forget(fs, slot, request) ||
            is_known_already(fs, slot)) {
            release_slot(fs, slot);
            continue;
        }
        count_change(fs, request);
        slot->faults += fs->shared->own_fault;
        atomic_store(&slot->state, SS_SLOT_ADOPTED);
    }
}

/* Gives back what a request had taken that nobody has been told of. Each note goes before the thing: a crash in between
 * leaves it taken for too long, never given back twice. comes_again: it will be handled once more, so that a handle
 * that is given up says nothing about its process. */
static void give_back(struct ss_fs *fs, struct ss_slot *slot, bool comes_again)
{
    uint32_t node = slot->node, save = slot->save;
    uint64_t fh = slot->handle;
    bool opened = fh != SS_SLOT_NO_HANDLE && ss_handle_is_open(fs, fh);
    bool created =
        ss_slot_request(fs, slot)->opcode == FUSE_CREATE && save != SS_NONE && ss_save_is(fs, save, slot->save_serial);

    slot->node = SS_NONE;
    if (node != SS_NONE)
        ss_node_forget(fs, ss_node_id(node), 1);
    if (created && (comes_again || !opened))
        ss_judge_forget(fs, save);
    slot->handle = SS_SLOT_NO_HANDLE;
    if (!opened)
        return;
    struct ss_handle *handle = ss_handle_at(fs, fh);
    if (handle->kind == SS_HANDLE_SAVE && comes_again && handle->writes) /* so that it is not over before that comes */
        ss_save_expect(fs, ss_save_at(fs, handle->save), (pid_t)ss_slot_request(fs, slot)->pid);
    if (handle->kind == SS_HANDLE_SAVE && comes_again)
        ss_judge_forget_handle(fs, handle->save, handle);
    else if (handle->kind == SS_HANDLE_SAVE)
        ss_judge_release(fs, handle->save, handle);
    ss_handle_give(fs, (uint32_t)fh);
}

static void inherit(struct ss_slot *slot, const struct ss_slot *old)
{
    slot->faults = old->faults;
    slot->node = old->node;
    slot->handle = old->handle;
    slot->save_serial = old->save_serial;
    slot->save = old->save;
    slot->begun = old->begun;
    slot->both = old->both;
    atomic_store(&slot->pin, old->pin);
    memcpy(slot->reply, old->reply, sizeof slot->reply);
    atomic_store(&slot->reply_len, old->reply_len);
    slot->inherited = true;
}

/* All that came again has come: what is left was answered, or its process was killed while it waited. */
static void settle_rest(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++) {
        struct ss_slot *slot = ss_slot_at(fs, i);
        if (slot->state != SS_SLOT_ADOPTED)
            continue;
        if (slot->reply_len == 0)
            give_back(fs, slot, false);
        release_slot(fs, slot);
    }
}

static bool takes_long(const struct fuse_in_header *request)
{
    return request->opcode == FUSE_FLUSH || request->opcode == FUSE_FSYNC || request->opcode == FUSE_SETATTR;
}

enum ss_claim ss_adopt_claim(struct ss_fs *fs, struct ss_slot *slot)
{
    struct fuse_in_header *request = ss_slot_request(fs, slot);

    if (!(request->unique & SS_RESENT)) {
        if (fs->resending && !overtakes(request)) {
            fs->resending = false;
            settle_rest(fs);
        }
        return SS_CLAIM_HANDLE;
    }
    struct ss_slot *old = find_adopted(fs, request->unique);
    if (!old)
        return SS_CLAIM_HANDLE; /* it was sent, but not read */
    inherit(slot, old);
    old->pin = -1;
    release_slot(fs, old);
    if (slot->reply_len > 0) {
        struct fuse_out_header *reply = (struct fuse_out_header *)(void *)slot->reply;
        reply->unique = request->unique;
        return SS_CLAIM_ANSWER;
    }
    if (slot->faults >= (takes_long(request) ? LONG_FAULTS_MAX : FAULTS_MAX))
        return SS_CLAIM_REFUSE;
    give_back(fs, slot, true);
    return SS_CLAIM_HANDLE;
}

void ss_adopt_unanswerable(struct ss_fs *fs, struct ss_slot *slot)
{
    give_back(fs, slot, false);
}

/* --- kernels that send nothing again --- */

/* Its program is told that it failed, so its save must not be published as if it had not. */
static void spoil_lost(struct ss_fs *fs, const struct fuse_in_header *request)
{
    struct ss_save *save = save_changed_by(fs, request);

    if (save)
        ss_judge_lost_request(save);
}

static void do_release(struct ss_fs *fs, uint64_t fh)
{
    if (!ss_handle_is_open(fs, fh))
        return;
    struct ss_handle *handle = ss_handle_at(fs, fh);
    if (handle->kind == SS_HANDLE_SAVE)
        ss_judge_release(fs, handle->save, handle);
    ss_handle_give(fs, (uint32_t)fh);
}

void ss_adopt_refuse(struct ss_fs *fs, struct ss_slot *slot)
{
    const struct fuse_in_header *request = ss_slot_request(fs, slot);
    struct fuse_out_header error = {.len = sizeof error, .error = -EIO, .unique = request->unique};
    bool formed = slot->reply_len > 0;

    if (!formed && (request->opcode == FUSE_RELEASE || request->opcode == FUSE_RELEASEDIR)) {
        do_release(fs, *(const uint64_t *)(const void *)(request + 1));
        error.error = 0;
    } else if (!formed) {
        spoil_lost(fs, request);
    }
    ssize_t n = write(fs->shared->session, formed ? (const void *)slot->reply : (const void *)&error,
                      formed ? slot->reply_len : sizeof error);
    if (!formed)
        give_back(fs, slot, false);
    (void)n; /* ENOENT: it was answered, or its process is gone */
}

void ss_adopt_refuse_all(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++) {
        struct ss_slot *slot = ss_slot_at(fs, i);
        if (slot->state != SS_SLOT_ADOPTED)
            continue;
        ss_adopt_refuse(fs, slot);
        release_slot(fs, slot);
    }
}

/* --- all of it --- */

static void repair_saves(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->saves.used; i++) {
        if (!ss_save_at(fs, i)->in_use)
            continue;
        ss_save_ref(fs, i);
        ss_judge_adopt(fs, i);
        ss_save_release(fs, i);
    }
}

void ss_adopt(struct ss_fs *fs)
{
    ss_node_rebuild(fs);
    ss_save_rebuild(fs);
    ss_handle_rebuild(fs);
    count_references(fs);
    adopt_slots(fs);
    ss_fs_close_pending(fs); /* what that has freed: it is no stray */
    close_strays(fs);
    ss_passthrough_adopt(fs);
    repair_saves(fs);
}
