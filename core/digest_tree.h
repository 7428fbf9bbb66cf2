/* The fs-verity tree above a file's data: what digest.c makes of the digests of its parts. */
#ifndef SAVESEAL_CORE_DIGEST_TREE_H
#define SAVESEAL_CORE_DIGEST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "hasher.h"

#define SS_TREE_BLOCK 4096U
#define SS_TREE_FANOUT (SS_TREE_BLOCK / SS_SHA256_SIZE)
#define SS_TREE_LEVELS 9 /* 7 bits each and 12 for the data block: more than the 63 bits of a file size */

/* Level 0 holds the digests of data blocks, level n + 1 those of the blocks of level n, 128 in a block, the last block
 * of a level filled up with zeros; the root is the digest of the one block at the top. Only the block in work of each
 * level is kept, so digests must come in order. One that is all zero is empty. */
struct ss_digest_tree {
    struct {
        struct ss_sha256 block[SS_TREE_FANOUT];
        size_t count;
        bool complete_block; /* one was already passed on to the next level */
    } level[SS_TREE_LEVELS];
};

/* What each level is made of below a hole: [0] is the digest of a data block of zeros. */
extern const struct ss_sha256 ss_digest_of_hole[SS_TREE_LEVELS + 1];

/* Where digests are added: one for each 512 KiB of data. */
#define SS_TREE_ENTRY 1

/* add_hole: count digests of a hole at once. */
void ss_digest_tree_add(struct ss_digest_tree *tree, struct ss_hasher *hasher, const struct ss_sha256 *digest);
void ss_digest_tree_add_hole(struct ss_digest_tree *tree, struct ss_hasher *hasher, uint64_t count);

/* The root above everything that was added, which must be something; ends the tree. */
void ss_digest_tree_root(struct ss_digest_tree *tree, struct ss_hasher *hasher, struct ss_sha256 *root);

#endif
