#include "against.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/check/image.h"
#include "core/check/verify_state.h"
#include "core/util.h"
#include "report.h"

#define PROBE_SIZE 8192 /* bytes: more than the line of any name */

static bool steady(const struct stat *before, int fd)
{
    struct stat after;

    return fstat(fd, &after) == 0 && before->st_size == after.st_size &&
           before->st_mtim.tv_sec == after.st_mtim.tv_sec && before->st_mtim.tv_nsec == after.st_mtim.tv_nsec;
}

static bool read_manifest(int fd, uint64_t size, struct against *against, struct ss_judgement *why)
{
    size_t line = 0;

    if (size > SS_MANIFEST_MAX) {
        ss_judge(why, SS_REQUEST_REFUSED, "it is too long for a manifest");
        return false;
    }
    SS_AUTO_FREE char *bytes = report_must(malloc((size_t)size + 1));
    ssize_t len = ss_pread_full(fd, bytes, (size_t)size, 0);
    int r = len < 0 ? (int)len : 0;
    if (r == 0 && ((size_t)len < size || !steady(&against->st, fd))) {
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
        return false;
    }
    if (r == 0)
        r = ss_manifest_decode(bytes, (size_t)len, &against->manifest, &line);
    if (r == -ENODATA)
        ss_judge(why, SS_REQUEST_REFUSED,
                 "as a manifest it is not all there, as line %zu tells: it was cut or edited; make it anew", line);
    else if (r == -EPROTONOSUPPORT)
        ss_judge(why, SS_REQUEST_REFUSED, "it is a manifest of a newer version of Saveseal");
    else if (r == -EBADMSG)
        ss_judge(why, SS_REQUEST_REFUSED, "line %zu of it is no line of a manifest, or contradicts one before it",
                 line);
    else if (r < 0)
        ss_judge_errno(why, r);
    against->is_manifest = true;
    against->seen = report_must(calloc(against->manifest.count + 1, sizeof *against->seen));
    return r == 0;
}

static bool digest_image(int fd, const struct ss_digest_run *run, struct against *against, struct ss_judgement *why)
{
    struct ss_reference *is = &against->image;
    struct stat before;

    int r = fstat(fd, &before) < 0 ? -errno : 0;
    if (r == 0) {
        is->size = (uint64_t)before.st_size;
        r = ss_digest_verity(fd, is->size, run, &is->verity);
    }
    if (r == -ENODATA || (r == 0 && !steady(&before, fd)))
        ss_judge(why, SS_CHANGED_WHILE_READING, "%s", "");
    else if (r == -ECANCELED)
        ss_judge(why, SS_NOT_REACHED, "stopped in the middle of it");
    else if (r < 0)
        ss_judge_errno(why, r);
    else
        is->has_size = is->has_verity = true;
    return is->has_verity;
}

static bool read_image(int fd, const struct ss_digest_run *run, struct against *against, struct ss_judgement *why)
{
    struct ss_seal seal;

    if (!ss_image_seal(fd, &seal, why)) {
        if (why->finding != SS_UNSEALED)
            return false;
    } else if (seal.has_verity) {
        against->by_seal = true;
        against->image =
            (struct ss_reference){.has_size = true, .size = seal.size, .has_verity = true, .verity = seal.verity};
        return true;
    }
    return digest_image(fd, run, against, why);
}

bool against_open(const char *path, const struct ss_digest_run *run, struct against *against, struct ss_judgement *why)
{
    char head[PROBE_SIZE];
    uint64_t size;
    SS_AUTO_CLOSE int fd = -1;

    *against = (struct against){.is_manifest = false};
    if (!ss_image_open(path, &fd, &size, why))
        return false;
    struct statfs fs;
    bool known = fstat(fd, &against->st) == 0 && fstatfs(fd, &fs) == 0;
    ssize_t len = known ? ss_pread_full(fd, head, sizeof head, 0) : -errno;
    if (len < 0) {
        ss_judge_errno(why, (int)len);
        return false;
    }
    against->fs = ss_verify_fs(&fs);
    if (ss_manifest_is_foreign(head, (size_t)len)) {
        ss_judge(why, SS_REQUEST_REFUSED,
                 "it looks like a list of other digests: what is needed is what sha256sum prints");
        return false;
    }
    return ss_manifest_probe(head, (size_t)len) ? read_manifest(fd, size, against, why)
                                                : read_image(fd, run, against, why);
}

static const struct ss_manifest_entry *find_entry(const struct against *against, const char *path)
{
    int error;

    const struct ss_manifest_entry *entry = ss_manifest_find(&against->manifest, path, &error);
    if (error < 0)
        report_must(NULL);
    return entry;
}

const struct ss_reference *against_find(const struct against *against, const char *path)
{
    if (!against->is_manifest)
        return &against->image;
    const struct ss_manifest_entry *entry = find_entry(against, path);
    return entry ? &entry->is : NULL;
}

void against_note(struct against *against, const char *path)
{
    const struct ss_manifest_entry *entry = against->is_manifest ? find_entry(against, path) : NULL;

    if (entry)
        against->seen[entry - against->manifest.entry] = true;
}

struct search {
    struct against *against;
    char **names;
    size_t count;
};

static int add_missing(void *context, const struct ss_manifest_entry *entry)
{
    struct search *search = context;
    bool *seen = &search->against->seen[entry - search->against->manifest.entry];

    if (!*seen)
        search->names[search->count++] = entry->name;
    *seen = true; /* once is enough */
    return 0;
}

char **against_missing(struct against *against, char *const *dirs, size_t count, size_t *missing)
{
    struct search search = {.against = against};

    search.names = report_must(calloc(against->manifest.count + 1, sizeof *search.names));
    for (size_t i = 0; i < count; i++)
        if (ss_manifest_below(&against->manifest, dirs[i], add_missing, &search) < 0)
            report_must(NULL);
    *missing = search.count;
    return search.names;
}

void against_close(struct against *against)
{
    ss_manifest_free(&against->manifest);
    free(against->seen);
    against->seen = NULL;
}
