/* The end of QEMU's migration stream: the footer of its last section, a byte 0, and the description of all devices as
 * JSON with its length before it. From migration/savevm.c. */
#ifndef SAVESEAL_CORE_INSIDE_VMDESC_H
#define SAVESEAL_CORE_INSIDE_VMDESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes: what finding it takes, besides the bytes that are searched and half as much again. */
#define SS_VMDESC_MEMORY ((size_t)4 << 20)

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
    bool has_devices;   /* its list of devices was read */
    size_t devices;     /* how many it has */
    uint32_t page_size; /* of the machine, 0 if unknown */
    char damage[160];   /* EXACT: what is wrong with the JSON, else "" */
    bool unread;        /* EXACT: a part is so large that it was not read */

    /* For vmdesc.c: what sections there have to be, each as a struct head and the name; passed: of those bytes, what
     * was found. */
    unsigned char *heads;
    size_t heads_len, heads_size, passed;
};

/* Looks for the end in the last len bytes of a stream; footers: sections have such. vmdesc is all written;
 * ss_vmdesc_free it. Returns 0 or -ENOMEM. */
int ss_vmdesc_find(const unsigned char *bytes, size_t len, bool footers, struct ss_vmdesc *vmdesc);
void ss_vmdesc_free(struct ss_vmdesc *vmdesc);

/* Each device has a section of its own, in this order: looks for their heads in the bytes between the machine's memory
 * and the end, a part of these at a time. Returns how many bytes of the part are done with: the rest, which has less
 * than SS_VMDESC_REST bytes, has to begin the next part. */
size_t ss_vmdesc_pass(struct ss_vmdesc *vmdesc, const unsigned char *bytes, size_t len);
#define SS_VMDESC_REST 272

/* Behind the last part: the name of the first device that is not there (at most 255 bytes), or NULL. */
const char *ss_vmdesc_missing(const struct ss_vmdesc *vmdesc, char name[256]);

#endif
