/* What every fuzz target of core/inside does: any bytes as a file that is looked into. */
#ifndef SAVESEAL_TESTS_FUZZ_INSIDE_H
#define SAVESEAL_TESTS_FUZZ_INSIDE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/inside/inside.h"
#include "core/util.h"

static inline void require(int condition)
{
    if (!condition)
        abort();
}

/* Deep and not; what the first calls damaged by headers and ends alone, the other does not call whole. */
static inline void look_inside(const uint8_t *data, size_t size)
{
    struct ss_inside shallow, deep;
    size_t done;

    SS_AUTO_CLOSE int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && ss_pwrite_full(fd, data, size, 0, &done) == 0);
    require(ss_inside_check(fd, size, NULL, &shallow) == 0);
    int r = ss_inside_check(fd, size, &(struct ss_inside_options){.deep = true}, &deep);
    require(r == 0 || r == -ENOMEM); /* a file may ask a decompressor for more than it may have */
    if (r < 0)
        return;
    require(strcmp(shallow.kind, deep.kind) == 0);
    require(ss_finding_text(shallow.finding)->class != SS_CLASS_DAMAGED || deep.finding != SS_COMPLETE);
    for (size_t i = 0; i < deep.fact_count; i++)
        require(deep.facts[i].key[0] && strlen(deep.facts[i].text) < SS_FACT_TEXT_MAX);
}

#endif
