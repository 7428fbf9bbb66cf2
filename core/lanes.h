/* SHA-256 of several blocks of one length at a time, each in a lane of the processor's vector registers: with AVX-512
 * three times as fast as one after the other. By libipsec-mb, where the build found it; crypto.h says whether there is
 * any. */
#ifndef SAVESEAL_CORE_LANES_H
#define SAVESEAL_CORE_LANES_H

#include <stdbool.h>
#include <stddef.h>

struct ss_hasher_job;

/* One thread's. */
struct ss_lanes;

struct ss_lanes_functions {
    /* Takes 200 KiB and 0.1 ms. Returns NULL when there is no memory, or not with this processor. close: NULL is fine.
     */
    struct ss_lanes *(*open)(void);
    void (*close)(struct ss_lanes *lanes);

    /* Digests count blocks of len bytes each, less than 64 KiB. Returns false when something is wrong with the library:
     * then no digest is to be believed, and the lanes are not to be used any more. */
    bool (*digest)(struct ss_lanes *lanes, const struct ss_hasher_job *jobs, size_t count, size_t len);
};

extern const struct ss_lanes_functions ss_lanes_of_ipsec_mb;

#endif
