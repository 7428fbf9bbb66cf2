/* What verify --against compares with: a manifest, or another image. */
#ifndef SAVESEAL_TOOLS_AGAINST_H
#define SAVESEAL_TOOLS_AGAINST_H

#include <stdbool.h>
#include <sys/stat.h>

#include "core/check/compare.h"
#include "core/check/manifest.h"

struct against {
    bool is_manifest;
    struct stat st; /* of the file */
    uint64_t fs;    /* its file system, as ss_verify_stamp() wants it */
    bool by_seal;   /* the image was not read: its seal says what it should be */
    struct ss_manifest manifest;
    bool *seen; /* those of its entries that were noted */
    struct ss_reference image;
};

/* Reads a manifest, or finds out about an image: by its seal, or by its content as run says. False with the reason. */
bool against_open(const char *path, const struct ss_digest_run *run, struct against *against, struct ss_judgement *why);

/* What the file of that path has to be; NULL when that is not known. Thread-safe. */
const struct ss_reference *against_find(const struct against *against, const char *path);

/* A walk has found the file of that path. Not thread-safe, but find may be called meanwhile. */
void against_note(struct against *against, const char *path);

/* The names of what is listed below those directories and was not noted. The caller frees the array, not the names. */
char **against_missing(struct against *against, char *const *dirs, size_t count, size_t *missing);

void against_close(struct against *against);

#endif
