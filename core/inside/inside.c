#include "inside.h"

#include <errno.h>
#include <string.h>

#include "core/util.h"
#include "formats.h"
#include "memory.h"

/* The first that matches has it. */
static const struct ss_inside_format *const formats[] = {
    &ss_inside_libvirt,    &ss_inside_qcow2,     &ss_inside_qemu, &ss_inside_elf_dump,
    &ss_inside_kdump_flat, &ss_inside_kdump_raw, &ss_inside_zip,  &ss_inside_safetensors, /* it has no magic */
};

static const struct ss_inside_directory_format *const directory_formats[] = {
    &ss_inside_criu,
};

static const struct ss_inside_options defaults;

/* The libraries for formats say of data what is true of memory: "damaged", "no such element". The C library tells.
 * Before a check errno is cleared; returns its result. */
static int unless_memory_failed(int result, const struct ss_inside *inside)
{
    return result == 0 && errno == ENOMEM && inside->finding != SS_COMPLETE ? -ENOMEM : result;
}

/* By the format or directory format that has check(). */
static int run(const struct ss_job *job, int (*check)(const struct ss_job *job))
{
    struct ss_memory *memory = job->options->memory;
    size_t reserved = 0;
    struct ss_job accounted = *job;

    if (memory)
        accounted.memory = &reserved;
    errno = 0;
    int r = unless_memory_failed(check(&accounted), job->inside);
    if (reserved > 0)
        ss_memory_change(memory, &reserved, 0);
    return r;
}

int ss_inside_check(int fd, uint64_t size, const struct ss_inside_options *options, struct ss_inside *inside)
{
    const struct ss_job job = {.fd = fd, .size = size, .options = options ? options : &defaults, .inside = inside};
    unsigned char head[SS_JOB_HEAD];

    memset(inside, 0, sizeof *inside);
    inside->kind = "unknown";
    inside->title = "file of a format that is not known";
    inside->finding = SS_END_UNPROVEN;
    ssize_t n = ss_pread_full(fd, head, size < sizeof head ? (size_t)size : sizeof head, 0);
    if (n < 0)
        return (int)n;
    for (size_t i = 0; i < SS_ARRAY_SIZE(formats); i++) {
        if (formats[i]->matches(head, (size_t)n, size)) {
            inside->kind = formats[i]->kind;
            inside->title = formats[i]->title;
            return run(&job, formats[i]->check);
        }
    }
    return 0;
}

static const struct ss_inside_directory_format *directory_format(int dir)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(directory_formats); i++) {
        if (directory_formats[i]->matches(dir))
            return directory_formats[i];
    }
    return NULL;
}

bool ss_inside_is_directory_image(int dir)
{
    return directory_format(dir) != NULL;
}

bool ss_inside_is_directory_part(const char *name)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(directory_formats); i++) {
        if (directory_formats[i]->has(name))
            return true;
    }
    return false;
}

int ss_inside_check_directory(int dir, const struct ss_inside_options *options, struct ss_inside *inside)
{
    const struct ss_job job = {.fd = dir, .options = options ? options : &defaults, .inside = inside};

    const struct ss_inside_directory_format *format = directory_format(dir);
    if (!format)
        return -EINVAL;
    memset(inside, 0, sizeof *inside);
    inside->kind = format->kind;
    inside->title = format->title;
    inside->finding = SS_END_UNPROVEN;
    return run(&job, format->check);
}
