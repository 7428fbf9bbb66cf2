/* The qcow2 disk image: its header, and the persistent bitmaps that checkpoints are made of. Nothing in a file is
 * believed: every offset, size and count is checked against the file. Source: docs/interop/qcow2.txt in QEMU.
 *
 * Thread-safe: all state is in the arguments. */
#ifndef SAVESEAL_CORE_INSIDE_QCOW2_H
#define SAVESEAL_CORE_INSIDE_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#include "core/finding.h"

#define SS_QCOW2_WHY_MAX 160
#define SS_QCOW2_BITMAP_NAME_MAX 1023  /* bytes */
#define SS_QCOW2_BACKING_NAME_MAX 1023 /* bytes */
#define SS_QCOW2_FORMAT_NAME_MAX 15    /* bytes */

/* Of struct ss_qcow2, incompatible: */
#define SS_QCOW2_DIRTY 1U
#define SS_QCOW2_CORRUPT 2U
#define SS_QCOW2_DATA_FILE 4U
#define SS_QCOW2_COMPRESSION 8U
#define SS_QCOW2_EXTENDED_L2 16U
#define SS_QCOW2_KNOWN 31U
/* autoclear: */
#define SS_QCOW2_BITMAPS 1U
#define SS_QCOW2_RAW_DATA_FILE 2U
/* and encryption: */
#define SS_QCOW2_AES 1U
#define SS_QCOW2_LUKS 2U

/* A part of the file, or of the list that it is from. */
struct ss_qcow2_part {
    uint64_t offset, len; /* bytes */
};

struct ss_qcow2 {
    int fd; /* the caller's */
    uint64_t file_size;
    uint32_t version, cluster_bits;
    uint64_t virtual_size; /* bytes */
    uint64_t incompatible, autoclear;
    uint32_t encryption, compression;   /* 0: none; zlib */
    struct ss_qcow2_part l1, refcounts; /* the tables */
    uint32_t refcount_order;            /* a count has 2^order bits */
    struct ss_qcow2_part snapshots;     /* the list */
    uint32_t snapshot_count;
    struct ss_qcow2_part backing; /* the name; offset 0: there is no backing file */
    bool backing_is_foreign;      /* said to be of another format than qcow2 */
    char backing_format[SS_QCOW2_FORMAT_NAME_MAX + 1];
    bool has_luks, has_data_file;         /* the extension is there, and: */
    struct ss_qcow2_part luks, data_file; /* its header; the name */
    bool has_bitmaps; /* the extension is there, and unless a program that knows none wrote to the image: */
    uint32_t bitmap_count;
    struct ss_qcow2_part directory;

    /* Called after some MiB that were read, if the owner sets it after the open. What it returns other than 0 ends what
     * reads. */
    int (*step)(void *context);
    void *context;
    uint64_t unasked; /* bytes that were read since */

    enum ss_finding finding;    /* of -EBADMSG: what kind of trouble that is */
    char why[SS_QCOW2_WHY_MAX]; /* what is wrong, a clause; of -EBADMSG */
};

/* Reads the header of a file of size bytes; fd is used as long as the result is. Returns 0; -EINVAL when it is no qcow2
 * image; -EBADMSG with finding and why: SS_HEADER_DAMAGED, SS_STRUCTURE_DAMAGED, SS_FORMAT_UNSUPPORTED; or the read's
 * -errno. */
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

/* Has one it open for writing? Then tables are in its memory, and the file may contradict itself. */
bool ss_qcow2_is_written(int fd);

#endif
