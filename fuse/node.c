#include "node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"
#include "passthrough.h"
#include "save.h"
#include "trim.h"

#define NODE_BUCKETS (SS_MAX_NODES / 4)

static struct ss_node *at(struct ss_fs *fs, uint32_t index)
{
    return ss_pool_at(&fs->nodes, index);
}

uint32_t ss_node_index(uint64_t id)
{
    return (uint32_t)(id - 1);
}

struct ss_node *ss_node_at(struct ss_fs *fs, uint64_t id)
{
    if (id == 0 || id > SS_MAX_NODES)
        return NULL;
    struct ss_node *node = (struct ss_node *)(void *)(fs->nodes.base + (id - 1) * fs->nodes.record_size);
    return node->kind == SS_NODE_FREE ? NULL : node;
}

/* Only what is fixed for an inode: a name is part of an image's key, but need not be part of its hash. */
static uint32_t *bucket(struct ss_fs *fs, dev_t dev, ino_t ino)
{
    uint64_t hash = ((uint64_t)ino * 0x9e3779b97f4a7c15u) ^ ((uint64_t)dev * 0xff51afd7ed558ccdu);
    return &fs->node_buckets[(hash >> 32) % NODE_BUCKETS];
}

static bool has_key(const struct ss_node *node, const struct stat *st, uint32_t dir, const char *name)
{
    if (node->dev != st->st_dev || node->ino != st->st_ino || node->type != (st->st_mode & S_IFMT))
        return false;
    return node->kind != SS_NODE_IMAGE || (ss_node_key(node)->dir == dir && strcmp(ss_node_key(node)->name, name) == 0);
}

static uint32_t find(struct ss_fs *fs, const struct stat *st, uint32_t dir, const char *name)
{
    for (uint32_t i = *bucket(fs, st->st_dev, st->st_ino); i != SS_NONE; i = at(fs, i)->next)
        if (has_key(at(fs, i), st, dir, name))
            return i;
    return SS_NONE;
}

static uint32_t insert(struct ss_fs *fs, int fd, const struct stat *st, uint32_t dir, const char *name)
{
    uint32_t index = ss_pool_take(&fs->nodes);
    if (index == SS_NONE)
        return SS_NONE;
    struct ss_node *node = at(fs, index);
    uint32_t *head = bucket(fs, st->st_dev, st->st_ino);

    bool image = S_ISREG(st->st_mode);
    *node = (struct ss_node){
        .next = *head,
        .fd = fd,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .type = st->st_mode & S_IFMT,
        .keys[0].dir = SS_NONE,
        .save = SS_NONE,
        .checked = {.size = -1},
        .cached = {.size = -1},
    };
    if (image) {
        node->keys[0].dir = dir;
        ss_node_ref(fs, dir);
        snprintf(node->keys[0].name, sizeof node->keys[0].name, "%s", name);
    }
    atomic_store(&node->kind, image ? SS_NODE_IMAGE : SS_NODE_PLAIN);
    *head = index;
    ss_trim_notice(fs);
    return index;
}

bool ss_node_lookup_known(struct ss_fs *fs, const struct stat *st, uint32_t dir, const char *name, uint32_t *index)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t found = find(fs, st, dir, name);
    if (found != SS_NONE)
        ss_node_count_lookup(fs, found);
    pthread_mutex_unlock(&fs->tables);
    *index = found;
    return found != SS_NONE;
}

int ss_node_lookup(struct ss_fs *fs, int fd, const struct stat *st, uint32_t dir, const char *name, uint32_t *index)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t found = find(fs, st, dir, name);
    bool taken = found == SS_NONE;
    if (taken)
        found = insert(fs, fd, st, dir, name);
    if (found != SS_NONE)
        ss_node_count_lookup(fs, found);
    pthread_mutex_unlock(&fs->tables);

    if (!taken || found == SS_NONE)
        close(fd);
    if (found == SS_NONE)
        return -ENFILE;
    *index = found;
    return 0;
}

void ss_node_copy_key(struct ss_fs *fs, const struct ss_node *node, struct ss_key *key)
{
    pthread_mutex_lock(&fs->tables);
    *key = *ss_node_key(node);
    pthread_mutex_unlock(&fs->tables);
}

static void rekey(struct ss_fs *fs, uint32_t index, uint32_t dir, const char *name)
{
    struct ss_node *node = at(fs, index);
    uint32_t old = ss_node_key(node)->dir;
    struct ss_key *key = &node->keys[!node->key];

    key->dir = dir;
    snprintf(key->name, sizeof key->name, "%s", name);
    ss_node_ref(fs, dir);
    atomic_store(&node->key, !node->key);
    ss_node_unref(fs, old);
}

void ss_node_rename(struct ss_fs *fs, const struct stat *st, uint32_t dir, const char *name, const struct stat *other,
                    uint32_t new_dir, const char *new_name)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t there = S_ISREG(st->st_mode) ? find(fs, st, dir, name) : SS_NONE;
    uint32_t back = other && S_ISREG(other->st_mode) ? find(fs, other, new_dir, new_name) : SS_NONE;
    if (there != SS_NONE)
        rekey(fs, there, new_dir, new_name);
    if (back != SS_NONE)
        rekey(fs, back, dir, name);
    pthread_mutex_unlock(&fs->tables);
}

uint32_t ss_node_take_save(struct ss_fs *fs, uint32_t save)
{
    uint32_t index = ss_pool_take(&fs->nodes);
    if (index != SS_NONE) {
        *at(fs, index) =
            (struct ss_node){.next = SS_NONE, .fd = -1, .type = S_IFREG, .keys[0].dir = SS_NONE, .save = save};
        atomic_store(&at(fs, index)->kind, SS_NODE_SAVE);
    }
    return index;
}

/* With tables held: what follows, up to end_count, is one change to whoever adopts the tables. */
static void begin_count(struct ss_fs *fs, uint32_t index)
{
    const struct ss_slot *slot = ss_slot_mine();

    fs->shared->counting.nlookup = at(fs, index)->nlookup;
    fs->shared->counting.slot = slot ? (uint32_t)(slot - fs->shared->slots) : SS_SLOTS_MAX;
    fs->shared->counting.slot_node = slot ? slot->node : SS_NONE;
    fs->shared->counting.slot_forgotten = slot ? slot->forgotten : 0;
    atomic_store(&fs->shared->counting.node, index);
}

static void end_count(struct ss_fs *fs)
{
    atomic_store(&fs->shared->counting.node, SS_NONE);
}

/* In a new process: takes back what the old one had not ended. */
static void restore_count(struct ss_fs *fs)
{
    struct ss_shared *shared = fs->shared;
    uint32_t index = shared->counting.node;

    if (index == SS_NONE)
        return;
    at(fs, index)->nlookup = shared->counting.nlookup;
    if (shared->counting.slot < SS_SLOTS_MAX) {
        shared->slots[shared->counting.slot].node = shared->counting.slot_node;
        shared->slots[shared->counting.slot].forgotten = shared->counting.slot_forgotten;
    }
    end_count(fs);
}

void ss_node_count_lookup(struct ss_fs *fs, uint32_t index)
{
    begin_count(fs, index);
    at(fs, index)->nlookup++;
    ss_slot_note_node(index);
    end_count(fs);
}

void ss_node_rebuild(struct ss_fs *fs)
{
    restore_count(fs);
    memset(fs->node_buckets, 0xff, NODE_BUCKETS * sizeof(uint32_t));
    for (uint32_t i = 0; i < *fs->nodes.used; i++) {
        struct ss_node *node = at(fs, i);
        node->through_us = 0; /* see ss_handle_rebuild */
        if (node->kind == SS_NODE_FREE)
            ss_pool_give(&fs->nodes, i);
        if (node->kind == SS_NODE_PLAIN || node->kind == SS_NODE_IMAGE) {
            uint32_t *head = bucket(fs, node->dev, node->ino);
            node->next = *head;
            *head = i;
        }
    }
}

static void unhash(struct ss_fs *fs, uint32_t index)
{
    struct ss_node *node = at(fs, index);
    uint32_t *link = bucket(fs, node->dev, node->ino);

    while (*link != index)
        link = &at(fs, *link)->next;
    *link = node->next;
}

static void free_if_unused(struct ss_fs *fs, uint32_t index)
{
    struct ss_node *node = at(fs, index);

    if (node->nlookup > 0 || node->refs > 0)
        return;
    uint32_t dir = ss_node_key(node)->dir, save = node->save;
    if (node->kind != SS_NODE_SAVE)
        unhash(fs, index);
    ss_passthrough_forget_later(fs, node->backing); /* before nobody knows of it: a worker may die in between */
    atomic_store(&node->kind, SS_NODE_FREE);
    ss_fs_close_later(fs, node->fd);
    ss_pool_give(&fs->nodes, index);
    if (dir != SS_NONE)
        ss_node_unref(fs, dir);
    if (save != SS_NONE)
        ss_save_unref(fs, save);
}

void ss_node_ref(struct ss_fs *fs, uint32_t index)
{
    at(fs, index)->refs++;
}

void ss_node_unref(struct ss_fs *fs, uint32_t index)
{
    at(fs, index)->refs--;
    free_if_unused(fs, index);
}

static void forget(struct ss_fs *fs, uint64_t id, uint64_t n, bool told)
{
    pthread_mutex_lock(&fs->tables);
    struct ss_node *node = ss_node_at(fs, id);
    if (node) {
        begin_count(fs, ss_node_index(id));
        ss_slot_drop_node(ss_node_index(id));
        node->nlookup -= n < node->nlookup ? n : node->nlookup;
    }
    if (told)
        ss_slot_note_forgotten();
    if (node) {
        end_count(fs);
        free_if_unused(fs, ss_node_index(id));
    }
    pthread_mutex_unlock(&fs->tables);
}

void ss_node_forget(struct ss_fs *fs, uint64_t id, uint64_t n)
{
    forget(fs, id, n, false);
}

void ss_node_forget_told(struct ss_fs *fs, uint64_t id, uint64_t n)
{
    forget(fs, id, n, true);
}
