/* Any bytes as a manifest. What was read can be written, and reads as the same again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/manifest.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_entry(const struct ss_manifest *manifest, const struct ss_manifest_entry *entry)
{
    struct ss_reference is = entry->is;
    struct ss_manifest again;
    size_t line;
    int error;

    require(ss_manifest_find(manifest, entry->name, &error) == entry && error == 0);
    is.has_size = is.has_verity = true;
    SS_AUTO_FREE char *lines = ss_manifest_lines(entry->name, &is);
    require(lines != NULL);
    if (!*entry->name) /* what was "." or "./" names no file, and is not written */
        return;
    require(ss_manifest_probe(lines, strlen(lines)));
    require(ss_manifest_decode(lines, strlen(lines), &again, &line) == 0 && again.count == 1);
    require(strcmp(again.entry[0].name, entry->name) == 0);
    require(again.entry[0].is.size == is.size && ss_sha256_equal(&again.entry[0].is.sha256, &is.sha256));
    require(ss_sha256_equal(&again.entry[0].is.verity, &is.verity));
    ss_manifest_free(&again);
}

/* All below a name stand below it. */
static int check_below(void *dir, const struct ss_manifest_entry *entry)
{
    const char *name = dir;

    require(strlen(entry->name) > strlen(name) && strncmp(entry->name, name, strlen(name)) == 0);
    return 0;
}

/* As ours it is whole with its end, and not without. */
static void check_end(const struct ss_manifest *manifest)
{
    char end[SS_MANIFEST_END_SIZE];
    struct ss_manifest again;
    size_t line;

    char *text = malloc(strlen(SS_MANIFEST_HEAD) + 1);
    require(text != NULL);
    strcpy(text, SS_MANIFEST_HEAD);
    for (size_t i = 0; i < manifest->count; i++) {
        struct ss_reference is = manifest->entry[i].is;
        is.has_size = is.has_verity = true;
        SS_AUTO_FREE char *lines = ss_manifest_lines(manifest->entry[i].name, &is);
        require(lines && (text = realloc(text, strlen(text) + strlen(lines) + 1)) != NULL);
        strcat(text, lines);
        if (!*manifest->entry[i].name) {
            free(text);
            return;
        }
    }
    require(ss_manifest_decode(text, strlen(text), &again, &line) == -ENODATA);
    ss_manifest_end(manifest->count, end);
    require((text = realloc(text, strlen(text) + strlen(end) + 1)) != NULL);
    strcat(text, end);
    require(ss_manifest_decode(text, strlen(text), &again, &line) == 0 && again.count == manifest->count);
    ss_manifest_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ss_manifest manifest;
    size_t line;

    bool probe = ss_manifest_probe((const char *)data, size);
    require(!probe || !ss_manifest_is_foreign((const char *)data, size));
    if (ss_manifest_decode((const char *)data, size, &manifest, &line) < 0)
        return 0;
    for (size_t i = 0; i < manifest.count; i++)
        check_entry(&manifest, &manifest.entry[i]);
    for (size_t i = 0; i < manifest.count && i < 20; i++)
        require(ss_manifest_below(&manifest, manifest.entry[i].name, check_below, manifest.entry[i].name) == 0);
    if (manifest.count < 100)
        check_end(&manifest);
    ss_manifest_free(&manifest);
    return 0;
}
