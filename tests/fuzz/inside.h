/* What the targets for formats share: any bytes as a file, looked at as one format, or as whatever it is, deeply and
 * not. */
#ifndef SAVESEAL_TESTS_FUZZ_INSIDE_H
#define SAVESEAL_TESTS_FUZZ_INSIDE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/inside/formats.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(int condition)
{
    if (!condition)
        abort();
}

/* An answer that is one, and of which deep looks say no less than quick ones: what is complete is so for both. */
static inline void require_answer(int r, const struct ss_inside *inside)
{
    require(r == 0 || r == -ENOMEM); /* a file may ask a library for more than it may have */
    require(inside->finding < SS_FINDING_COUNT && inside->fact_count <= SS_FACTS_MAX);
    require(memchr(inside->detail, '\0', sizeof inside->detail) != NULL);
    for (size_t i = 0; i < inside->fact_count; i++)
        require(inside->facts[i].key && memchr(inside->facts[i].text, '\0', sizeof inside->facts[i].text));
}

static inline enum ss_finding check_as(const struct ss_inside_format *format, int fd, size_t size, bool deep)
{
    const struct ss_inside_options options = {.deep = deep};
    struct ss_inside inside = {.kind = format->kind, .title = format->title, .finding = SS_END_UNPROVEN};
    const struct ss_job job = {.fd = fd, .size = size, .options = &options, .inside = &inside};

    require_answer(format->check(&job), &inside);
    return inside.finding;
}

static inline void check_format(const struct ss_inside_format *format, const uint8_t *data, size_t size)
{
    size_t done;

    if (!format->matches(data, size < SS_JOB_HEAD ? size : SS_JOB_HEAD, size))
        return;
    SS_AUTO_CLOSE int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && ss_pwrite_full(fd, data, size, 0, &done) == 0);
    enum ss_finding quick = check_as(format, fd, size, false), deep = check_as(format, fd, size, true);
    require(deep != SS_COMPLETE || ss_finding_text(quick)->class != SS_CLASS_DAMAGED);
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
