/* A qcow2 disk image, all in all. It has no mark that says that it was written to its end: what tells is that every
 * cluster is there, and counted. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "core/util.h"
#include "formats.h"
#include "qcow2_refs.h"

#define MAGIC 0x514649fbU /* "QFI\xfb" */
#define BITMAPS_TOLD 8    /* facts are few */

static bool matches(const unsigned char *head, size_t len, uint64_t size)
{
    (void)size;
    return len >= 8 && ss_be32(head) == MAGIC;
}

/* ---- facts ---- */

static void tell_name(const struct ss_job *job, struct ss_qcow2 *image, const char *key, struct ss_qcow2_part name)
{
    char text[SS_FACT_TEXT_MAX] = "";

    size_t len = name.len < sizeof text ? (size_t)name.len : sizeof text - 1;
    if (ss_qcow2_read(image, text, len, name.offset) == 0)
        ss_job_fact(job, key, "%s", text);
}

static void tell(const struct ss_job *job, struct ss_qcow2 *image)
{
    ss_job_fact(job, "version", "%" PRIu32, image->version);
    ss_job_fact(job, "virtual-size", "%" PRIu64, image->virtual_size);
    ss_job_fact(job, "cluster-size", "%" PRIu64, ss_qcow2_cluster_size(image));
    ss_job_fact(job, "compression", "%s", image->compression ? "zstd" : "zlib");
    if (image->encryption)
        ss_job_fact(job, "encrypted", "%s", image->encryption == SS_QCOW2_LUKS ? "luks" : "aes");
    if (image->backing.offset > 0)
        tell_name(job, image, "backing", image->backing);
    if (image->backing_format[0])
        ss_job_fact(job, "backing-format", "%s", image->backing_format);
    if (image->incompatible & SS_QCOW2_DATA_FILE)
        tell_name(job, image, "data-file", image->data_file);
    ss_job_fact(job, "snapshots", "%" PRIu32, image->snapshot_count);
    ss_job_fact(job, "bitmaps", "%" PRIu32, ss_qcow2_counts_bitmaps(image) ? image->bitmap_count : 0);
}

struct told {
    const struct ss_job *job;
    unsigned count;
};

static void tell_bitmap(void *context, const struct ss_qcow2_bitmap *bitmap)
{
    struct told *told = context;

    if (told->count++ < BITMAPS_TOLD)
        ss_job_fact(told->job, bitmap->flags & SS_QCOW2_BITMAP_IN_USE ? "bitmap-in-use" : "bitmap", "%s", bitmap->name);
}

/* ---- the finding ---- */

/* What may be open, and not closed yet. */
static int say_written(const struct ss_job *job)
{
    return ss_job_say(job, SS_BUSY, "a program has the disk open for writing, and perhaps a part of it in memory");
}

static int check_luks(struct ss_qcow2 *image)
{
    static const unsigned char magic[] = {'L', 'U', 'K', 'S', 0xba, 0xbe};
    unsigned char head[sizeof magic];

    if (!image->has_luks)
        return 0;
    int r = ss_qcow2_read(image, head, sizeof head, image->luks.offset);
    if (r == 0 && memcmp(head, magic, sizeof head) != 0)
        r = ss_qcow2_broken(image, SS_STRUCTURE_DAMAGED, "its encryption's header is none");
    return r;
}

/* Returns as ss_qcow2_refs_check(). */
static int check_parts(const struct ss_job *job, struct ss_qcow2 *image, struct ss_qcow2_refs *refs)
{
    struct told told = {.job = job};
    struct ss_qcow2_tables tables;

    int r = ss_qcow2_tables_read(image, &tables, tell_bitmap, &told);
    if (r == 0)
        r = check_luks(image);
    if (r == 0 && job->options->deep)
        r = ss_qcow2_refs_check(job, image, &tables, refs);
    ss_qcow2_tables_free(&tables);
    return r;
}

static int say(const struct ss_job *job, const struct ss_qcow2 *image, const struct ss_qcow2_refs *refs)
{
    if (job->options->deep)
        ss_job_fact(job, "leaked-clusters", "%" PRIu64, refs->leaked);
    if (image->incompatible & SS_QCOW2_CORRUPT)
        return ss_job_say(job, SS_STRUCTURE_DAMAGED, "QEMU has found it damaged, and marked it so");
    if (image->incompatible & SS_QCOW2_DIRTY)
        return ss_job_say(job, SS_NEEDS_REPAIR,
                          refs->outdated ? "its reference counts are not up to date"
                                         : "its reference counts may be not up to date");
    if (!job->options->deep)
        return ss_job_say(job, SS_END_UNPROVEN, "only its tables were looked at");
    if (refs->unproven)
        return ss_job_say(job, SS_END_UNPROVEN,
                          "its last cluster is short: whether something is missing there is not known");
    return ss_job_say(job, SS_COMPLETE, "%s", "");
}

/* How far it is tells who counts clusters. */
static int ask(void *context)
{
    return ss_job_step(context, 0);
}

static int check(const struct ss_job *job)
{
    struct ss_qcow2_refs refs = {.leaked = 0};
    struct ss_qcow2 image;
    struct ss_job own = *job;

    if (ss_qcow2_is_written(job->fd))
        return say_written(job);
    int r = ss_qcow2_open(job->fd, job->size, &image);
    if (r == 0) {
        image.step = ask;
        image.context = &own;
        tell(job, &image);
        r = check_parts(job, &image, &refs);
    }
    if (r == -EBADMSG || r == -EINVAL) /* -EINVAL: it was changed just now */
        r = ss_job_say(job, r == -EINVAL ? SS_HEADER_DAMAGED : image.finding, "%s", image.why);
    else if (r == 0)
        r = say(job, &image, &refs);
    return r == 0 && ss_qcow2_is_written(job->fd) ? say_written(job) : r;
}

const struct ss_inside_format ss_inside_qcow2 = {"qcow2", "qcow2 disk image", matches, check};
