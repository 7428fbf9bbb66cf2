/* Small reads that go forward through a file: a record's head here, the next one behind its data. */
#ifndef SAVESEAL_CORE_INSIDE_WINDOW_H
#define SAVESEAL_CORE_INSIDE_WINDOW_H

#include "job.h"

#define SS_WINDOW_SIZE 65536

/* All zero at first; len 0 makes it forget. */
struct ss_window {
    uint64_t start; /* of what is in bytes */
    size_t len;
    size_t ahead; /* how much to read at once: more while it goes on without jumps */
    unsigned char bytes[SS_WINDOW_SIZE];
};

/* len (at most SS_WINDOW_SIZE) bytes at off, valid until the next call. Returns 0, -ENODATA
 * when the file does not have them, or -errno. */
int ss_window_at(const struct ss_job *job, struct ss_window *window, uint64_t off, size_t len,
                 const unsigned char **bytes);

#endif
