/* What lies in a zip's entries: stored, or deflated. zlib unpacks it. */
#ifndef SAVESEAL_CORE_INSIDE_ZIP_CONTENT_H
#define SAVESEAL_CORE_INSIDE_ZIP_CONTENT_H

#include "job.h"

struct ss_zip_content;

/* One entry, which lies in the file. */
struct ss_zip_entry {
    uint64_t at, packed, size; /* bytes: where it begins, how long it is there, and unpacked */
    uint32_t checksum;         /* CRC-32 */
    bool deflated;
};

/* Returns NULL without memory; it takes some 600 KiB. Not for several threads at a time. */
struct ss_zip_content *ss_zip_content_open(const struct ss_job *job);
void ss_zip_content_close(struct ss_zip_content *content);

/* Reads all of an entry, steps the job, and compares what the entry says. Returns 0; -EBADMSG with *why, a static
 * string; -ENODATA when the file became shorter; or -errno. */
int ss_zip_content_check(struct ss_zip_content *content, const struct ss_zip_entry *entry, const char **why);

#endif
