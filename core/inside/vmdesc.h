/* The end of QEMU's migration stream: the footer of its last section, a byte 0, and the description of all devices as
 * JSON with its length before it. From migration/savevm.c. */
#ifndef SAVESEAL_CORE_INSIDE_VMDESC_H
#define SAVESEAL_CORE_INSIDE_VMDESC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ss_vmdesc_end {
    SS_VMDESC_NONE,    /* there is no such end in these bytes */
    SS_VMDESC_BARE,    /* the footer and the 0, and no description: some machines have none */
    SS_VMDESC_EXACT,   /* the bytes end with the description */
    SS_VMDESC_FOLLOWED /* other bytes come after it */
};

struct ss_vmdesc {
    enum ss_vmdesc_end end;
    size_t at;          /* EXACT and FOLLOWED: where the 0 is in the bytes */
    size_t trailing;    /* FOLLOWED: how many bytes come after it */
    json_t *devices;    /* an array of objects, or NULL when the description is too large to be read, or is damaged */
    uint32_t page_size; /* of the machine, 0 if unknown */
    char damage[160];   /* EXACT: what is wrong with the JSON, else "" */
};

/* Looks for the end in the last len bytes of a stream; footers: sections have such. vmdesc is all written;
 * ss_vmdesc_free it. Memory is bounded. */
void ss_vmdesc_find(const unsigned char *bytes, size_t len, bool footers, struct ss_vmdesc *vmdesc);
void ss_vmdesc_free(struct ss_vmdesc *vmdesc);

/* Each device has a section of its own, in this order: looks for their heads in the bytes between the machine's memory
 * and the end. Returns NULL, or the name of the first that is not there (valid as long as vmdesc). */
const char *ss_vmdesc_missing(const struct ss_vmdesc *vmdesc, const unsigned char *bytes, size_t len);

#endif
