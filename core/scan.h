/* What is in a save directory: every image and every draft with its state. */
#ifndef SAVESEAL_CORE_SCAN_H
#define SAVESEAL_CORE_SCAN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "draft.h"

enum ss_state {
    SS_STATE_SEALED,
    SS_STATE_UNSEALED,
    SS_STATE_WRITING,
    SS_STATE_WAITING,
    SS_STATE_INTERRUPTED,
    SS_STATE_DAMAGED,
    SS_STATE_COUNT
};

struct ss_scan_entry {
    char name[NAME_MAX + 1]; /* public name: of the image, or the draft's target ("" when its record can't be read) */
    bool draft;
    char id[SS_DRAFT_ID_LEN + 1]; /* of a draft, else "" */
    enum ss_state state;
    enum ss_finding finding;
    char detail[SS_DETAIL_MAX];
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes on disk */
    time_t since;       /* sealed, opened, or mtime: seconds since the epoch */
    char writer[SS_SEAL_WRITER_MAX];
    pid_t pid; /* of a draft's writer, 0 unknown */
};

/* Judges one file of dir by its name (not following a symbolic link): an image by seal, size and header; a draft by
 * lock and record. A waiting draft whose writer is gone (same host and boot, no such process) counts as interrupted.
 * Returns 0, -EINVAL when it is no regular file, or -errno. */
int ss_scan_file(int dir, const char *name, struct ss_scan_entry *entry);

/* Calls found for every regular file of dir (not below it), in directory order. A file that vanishes meanwhile is left
 * out; one that can't be read is reported DAMAGED with SS_IO_ERROR or SS_NO_PERMISSION. A non-zero return of found ends
 * the scan with that value. Returns 0 or -errno. */
int ss_scan(int dir, int (*found)(void *context, const struct ss_scan_entry *entry), void *context);

/* The same for drafts alone: nothing else is opened. */
int ss_scan_drafts(int dir, int (*found)(void *context, const struct ss_scan_entry *entry), void *context);

const char *ss_state_name(enum ss_state state);

#endif
