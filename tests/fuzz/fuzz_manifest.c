/* Any bytes as a manifest. What was read can be written, and reads as the same again. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ss_manifest manifest;
    size_t line;

    ss_manifest_probe((const char *)data, size);
    if (ss_manifest_decode((const char *)data, size, &manifest, &line) < 0)
        return 0;
    for (size_t i = 0; i < manifest.count; i++)
        check_entry(&manifest, &manifest.entry[i]);
    ss_manifest_free(&manifest);
    return 0;
}
