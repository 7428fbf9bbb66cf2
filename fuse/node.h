/* Nodes: what the kernel calls inodes.
 *
 * A node id that the kernel holds is a record's index plus 1 (so that the root, the first record, is FUSE_ROOT_ID).
 * There are three kinds:
 *
 * - An image node stands for one file under one name: its key is (device, inode, directory, name). Its descriptor pins
 * the inode, so that what was looked up is what is opened, whatever the name shows by then: a reader goes on with the
 * old version while a new one is published. The name is part of the key because an open for writing must know which
 * name it is to replace; two hard links are two nodes.
 * - A plain node stands for a directory, symbolic link, device...: key (device, inode).
 * - A save node stands for a name as its writer family sees it. It has no key and no descriptor of its own: the save
 * has them. A published draft is looked up as a fresh image node, never as its old save node: the kernel's cached pages
 * and size of the one are never those of the other.
 *
 * Lifetime: nlookup counts what the kernel was told and has not forgotten, refs what our own tables hold. A node is
 * freed when both are 0. Everything here is guarded by fs.tables unless it says otherwise. */
#ifndef SAVESEAL_FUSE_NODE_H
#define SAVESEAL_FUSE_NODE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "core/stamp.h"

struct ss_fs;

enum ss_node_kind { SS_NODE_FREE, SS_NODE_PLAIN, SS_NODE_IMAGE, SS_NODE_SAVE };

/* Under which name an image was looked up; it goes with a rename, because the kernel goes on with its node then. */
struct ss_key {
    uint32_t dir; /* node of the directory; SS_NONE for what is no image */
    char name[NAME_MAX + 1];
};

struct ss_node {
    _Atomic enum ss_node_kind kind; /* written last when it is taken, first when it is freed */
    uint32_t next;                  /* in its hash bucket */
    uint64_t nlookup;
    uint32_t refs;
    int fd; /* O_PATH, constant while the node lives; -1 for a save */
    dev_t dev;
    ino_t ino;
    mode_t type;   /* S_IFMT bits */
    uint32_t save; /* SAVE */
    struct ss_key
        keys[2]; /* IMAGE: its name, and the next one while it is renamed; holds a reference on the directory */
    _Atomic uint32_t key; /* the one that is in force */

    /* IMAGE, see passthrough.h. */
    _Atomic int32_t backing; /* how the kernel calls the file when it reads it by itself; 0: it does not. Once set, for
                                as long as the node lives */
    uint32_t through_us;     /* open handles that are read through us */

    struct ss_stamp checked; /* the header agreed with the seal then; size -1: never */
    struct ss_stamp cached;  /* the kernel's pages are of then; size -1: none */
};

#define SS_ROOT_NODE 0u

static inline uint64_t ss_node_id(uint32_t index)
{
    return (uint64_t)index + 1;
}

/* From what the kernel sent. NULL for an id that is not in use (a bug in the kernel or an attack on the protocol).
 * Takes no lock: the kernel's own reference keeps the node. */
struct ss_node *ss_node_at(struct ss_fs *fs, uint64_t id);
uint32_t ss_node_index(uint64_t id);

/* Finds the node of (st, dir, name) or makes it, with one more nlookup. fd is an O_PATH descriptor of the file, which
 * is taken over or closed. *index is written on success. Takes and leaves the tables lock. Returns 0, -ENFILE when the
 * table is full. */
int ss_node_lookup(struct ss_fs *fs, int fd, const struct stat *st, uint32_t dir, const char *name, uint32_t *index);

/* The same for a file that is known already; false when it is not. No descriptor is needed: the node pins the file, so
 * no other one can have its number. */
bool ss_node_lookup_known(struct ss_fs *fs, const struct stat *st, uint32_t dir, const char *name, uint32_t *index);

/* The key that is in force, with tables held; a copy of it, without. */
static inline const struct ss_key *ss_node_key(const struct ss_node *node)
{
    return &node->keys[node->key];
}
void ss_node_copy_key(struct ss_fs *fs, const struct ss_node *node, struct ss_key *key);

/* The file of st was renamed, and in exchange for it (unless NULL) the one of other: their nodes, if they have some
 * under the old names, go with them. Takes and leaves the tables lock. */
void ss_node_rename(struct ss_fs *fs, const struct stat *st, uint32_t dir, const char *name, const struct stat *other,
                    uint32_t new_dir, const char *new_name);

/* With tables held. */
void ss_node_ref(struct ss_fs *fs, uint32_t index);
void ss_node_unref(struct ss_fs *fs, uint32_t index);
uint32_t ss_node_take_save(struct ss_fs *fs, uint32_t save);

/* With tables held: the kernel will be told of the node once more, by the calling thread's request. */
void ss_node_count_lookup(struct ss_fs *fs, uint32_t index);

/* With tables held, in a new process: which records are free, and the hash chains. References are not counted. */
void ss_node_rebuild(struct ss_fs *fs);

/* The kernel forgets n lookups. Takes and leaves the tables lock. */
void ss_node_forget(struct ss_fs *fs, uint64_t id, uint64_t n);

/* The same for one entry of the FORGET that the calling thread has in hand. */
void ss_node_forget_told(struct ss_fs *fs, uint64_t id, uint64_t n);

#endif
