/* What an image is by its content, and whether that is whole by the format's own marks: no seal is needed for it.
 *
 * A file of its own for each format; inside.c has their table. Nothing in a file is believed: every offset, size and
 * count is checked against the file before it is used, memory is bounded whatever they say, and no byte sequence makes
 * a check crash, hang or read without end. The checks only read. Thread-safe: all state is in the arguments. */
#ifndef SAVESEAL_CORE_INSIDE_INSIDE_H
#define SAVESEAL_CORE_INSIDE_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/finding.h"

#define SS_INSIDE_DETAIL_MAX 512
#define SS_FACT_TEXT_MAX 256
#define SS_FACTS_MAX 24

/* One line for people about what is in an image: key "domain", text "vm1". */
struct ss_fact {
    const char *key;             /* stable, lower case, hyphens; static */
    char text[SS_FACT_TEXT_MAX]; /* may hold any bytes of the image but NUL */
};

struct ss_memory;

/* How a check is run. All zero is the default. */
struct ss_inside_options {
    bool deep; /* look at all of it, decompress to the end; else only at headers, tables and ends */

    /* A libvirt image whose own mark says that it is not complete is judged as if it said that it is: what is known of
     * it but for the mark, which libvirt writes last. Nothing changes for other images. */
    bool assume_done;

    const _Atomic bool *stop; /* when it becomes true the check ends soon, with -ECANCELED; may be NULL */
    /* Called now and then by the calling thread, with how much of size (bytes of the file) is done. A non-zero return
     * (-errno) ends the check with that value. May be NULL. */
    int (*progress)(void *context, uint64_t done, uint64_t size);
    void *context;

    /* What this check and those beside it may take together; one that needs much waits for it, and calls progress
     * meanwhile. May be NULL: then each takes what it needs, which is never more than SS_MEMORY_MAX (memory.h). */
    struct ss_memory *memory;
};

struct ss_inside {
    const char *kind;  /* stable name of the format: "libvirt", "qemu", "qcow2", ... or "unknown"; static */
    const char *title; /* for people: "libvirt save image"; static */

    /* SS_COMPLETE: its own marks say that it was written to its end, and what was looked at agrees.
     * SS_END_UNPROVEN: nothing contradicts, but nothing proves the end either; also for what is unknown.
     * SS_FORMAT_UNSUPPORTED: a version or feature that is not known here.
     * SS_BUSY: a program has it open, and parts of it may be in that program's memory.
     * Else what is wrong: SS_FORMAT_INCOMPLETE, SS_HEADER_DAMAGED, SS_STREAM_DAMAGED, SS_DESCRIPTION_DAMAGED,
     * SS_STRUCTURE_DAMAGED, SS_NEEDS_REPAIR. */
    enum ss_finding finding;
    char detail[SS_INSIDE_DETAIL_MAX]; /* one clause, may be empty */

    size_t fact_count;
    struct ss_fact facts[SS_FACTS_MAX];
};

/* Checks the first size bytes of fd (pread; the file offset is not touched). options may be NULL. Returns 0 with all of
 * *inside filled in; -ENOMEM, -ECANCELED, progress's value, or the read's -errno. A file that is cut while it is read
 * looks damaged: whoever cares compares the file's times before and after. */
int ss_inside_check(int fd, uint64_t size, const struct ss_inside_options *options, struct ss_inside *inside);

/* Is the directory (open for reading) an image of a format that is known? It looks at a file or two. */
bool ss_inside_is_directory_image(int dir);

/* Is that the name of a file that belongs to an image which is a directory, if it lies in one? */
bool ss_inside_is_directory_part(const char *name);

/* As ss_inside_check() for an image that is a directory (open for reading). -EINVAL when it is none that is known. */
int ss_inside_check_directory(int dir, const struct ss_inside_options *options, struct ss_inside *inside);

#endif
