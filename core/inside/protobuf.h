/* The fields of a protobuf message in a file, one after the other, without a description of the message. Source:
 * protobuf.dev, "Encoding". */
#ifndef SAVESEAL_CORE_INSIDE_PROTOBUF_H
#define SAVESEAL_CORE_INSIDE_PROTOBUF_H

#include "window.h"

struct ss_protobuf {
    const struct ss_job *job;
    struct ss_window *window;
    uint64_t at, end; /* offsets in the file: of the next field, of the message's end */
    uint32_t fields;  /* that were read */
};

struct ss_protobuf_field {
    uint64_t number;
    bool bytes;     /* it is a string, a message or the like, else a number */
    uint64_t value; /* the number; or how many bytes it has */
    uint64_t at;    /* where those are */
};

/* Goes to the next field. Returns 1 with it, 0 at the end, -EBADMSG when it is no message, -ENODATA when the file ends
 * before it, or -errno. */
int ss_protobuf_next(struct ss_protobuf *message, struct ss_protobuf_field *field);

/* Reads the numbers of the fields 0 to count - 1 (0 where there is none; of several the last), and goes to the end.
 * Returns 0 or as above. */
int ss_protobuf_numbers(struct ss_protobuf *message, uint64_t *numbers, size_t count);

#endif
