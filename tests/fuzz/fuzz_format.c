/* Any bytes as the start of an image. The first 8 are its size, so that the fuzzer finds sizes at which the answer
 * turns; the head is tried with that, with the size that it has, and with sizes around both. */
#include <stdlib.h>
#include <string.h>

#include "core/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check(const uint8_t *head, size_t len, uint64_t size)
{
    struct ss_format_probe probe;

    memset(&probe, 0xa5, sizeof probe);
    ss_format_probe(head, len, size, &probe);
    require(probe.format < SS_FORMAT_COUNT && ss_format_name(probe.format) != NULL);
    require(probe.header_len <= size && probe.header_len <= SS_FORMAT_HEADER_MAX);
    require(memchr(probe.why, '\0', sizeof probe.why) != NULL);
    require((probe.completion == SS_COMPLETION_PARTIAL) == (probe.why[0] != '\0'));
    require(probe.completion == SS_COMPLETION_NO_MARK || probe.format == SS_FORMAT_LIBVIRT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t file_size;

    if (size < sizeof file_size)
        return 0;
    memcpy(&file_size, data, sizeof file_size);
    data += sizeof file_size;
    size -= sizeof file_size;
    if (size > SS_FORMAT_HEAD)
        size = SS_FORMAT_HEAD;

    check(data, size, file_size);
    check(data, size, file_size % 8192);
    check(data, size, size);
    check(data, size, size + 1);
    check(data, size, size > 0 ? size - 1 : 0);
    return 0;
}
