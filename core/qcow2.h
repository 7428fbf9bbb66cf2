/* The qcow2 disk image: its header, and the persistent bitmaps that checkpoints are made of. Nothing in a file is
 * believed: every offset, size and count is checked against the file. Source: docs/interop/qcow2.txt in QEMU. */
#ifndef SAVESEAL_CORE_QCOW2_H
#define SAVESEAL_CORE_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#define SS_QCOW2_WHY_MAX 160
#define SS_QCOW2_BITMAP_NAME_MAX 1023  /* bytes */
#define SS_QCOW2_BACKING_NAME_MAX 1023 /* bytes */

struct ss_qcow2 {
    int fd; /* the caller's */
    uint64_t file_size;
    uint32_t version, cluster_bits;
    uint64_t virtual_size; /* bytes */
    uint64_t incompatible, autoclear;
    uint64_t backing_offset; /* 0: there is no backing file */
    uint32_t backing_len;
    bool backing_is_foreign; /* said to be of another format than qcow2 */
    bool has_luks, has_data_file;
    bool has_bitmaps; /* the extension is there, and: */
    uint32_t bitmap_count;
    uint64_t directory_offset, directory_size;
    char why[SS_QCOW2_WHY_MAX]; /* what is wrong, a clause; of -EBADMSG */
};

/* Reads the header of a file of size bytes; fd is used as long as the result is. Returns 0; -EINVAL when it is no qcow2
 * image; -EBADMSG with why; or the read's -errno. */
int ss_qcow2_open(int fd, uint64_t size, struct ss_qcow2 *image);

/* Can an incremental backup rely on the bitmap of that name? Returns 0; -ENOENT when there is none; -EBADMSG with why
 * when there is one that is broken, was not saved, or records nothing; -ENOMEM, or the read's -errno. What makes QEMU
 * refuse the whole image counts as broken. */
int ss_qcow2_check_bitmap(struct ss_qcow2 *image, const char *name);

/* The name of the backing file as the image has it, which may be relative to the image's directory or no file name at
 * all ("nbd://", "json:"); empty when there is none. Returns 0, or the read's -errno. */
int ss_qcow2_backing(struct ss_qcow2 *image, char name[SS_QCOW2_BACKING_NAME_MAX + 1]);

/* Has a program that goes by QEMU's locks the image open? Then its bitmaps are in that program's memory. */
bool ss_qcow2_is_in_use(int fd);

#endif
