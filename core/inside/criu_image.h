/* One image file of a CRIU directory: magics, then records, each with its length before it and for some types with data
 * after it. Source: https://criu.org/Images, criu/include/magic.h and images/ in CRIU. */
#ifndef SAVESEAL_CORE_INSIDE_CRIU_IMAGE_H
#define SAVESEAL_CORE_INSIDE_CRIU_IMAGE_H

#include "protobuf.h"

#define SS_CRIU_COMMON_MAGIC 0x54564319U /* before the type's own, but for the inventory */
#define SS_CRIU_INVENTORY_MAGIC 0x58313116U
#define SS_CRIU_PSTREE_MAGIC 0x50273030U

/* What CRIU calls the file: "core" of core-12.img. */
struct ss_criu_type;

/* The type that a file of that name has; NULL for those that are not CRIU's, or hold what other programs wrote. */
const struct ss_criu_type *ss_criu_type_of(const char *name);

/* Walks the records of the file that job has. each may be NULL; it gets the record's number from 0, and its message,
 * and returns 0, -EBADMSG, or what to end with. Returns 0 with *records; -EBADMSG when the file is not of that type or
 * a record is no message, -ENODATA when the file ends inside a record, or -errno. deep: look at the fields of all. */
int ss_criu_walk(const struct ss_job *job, const struct ss_criu_type *type, struct ss_window *window, bool deep,
                 int (*each)(void *context, uint64_t number, struct ss_protobuf *message), void *context,
                 uint64_t *records);

#endif
