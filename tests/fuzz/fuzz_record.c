/* Any bytes as a record and as a seal. There is one way to write a record, so what decodes encodes to the very same
 * bytes; a seal drops keys that it does not know, so it is compared with itself after one more round. */
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_record(const uint8_t *data, size_t size)
{
    struct ss_record record;
    char line[SS_RECORD_MAX];
    uint64_t number;
    time_t moment;

    if (ss_record_decode(data, size, &record) < 0)
        return;
    require(ss_record_encode(&record, line, sizeof line) == (ssize_t)size && memcmp(line, data, size) == 0);

    ss_record_get_u64(&record, "size", &number);
    ss_record_get_time(&record, "sealed", &moment);
    /* Changing and taking away must leave a record that can be written. */
    ss_record_set(&record, "writer", "somebody else");
    ss_record_unset(&record, "size");
    ssize_t len = ss_record_encode(&record, line, sizeof line);
    require(len > 0 && ss_record_decode(line, (size_t)len, &record) == 0);
}

static void check_seal(const uint8_t *data, size_t size)
{
    struct ss_seal seal;
    char line[SS_RECORD_MAX], again[SS_RECORD_MAX];

    if (ss_seal_decode(data, size, &seal) < 0)
        return;
    ssize_t len = ss_seal_encode(&seal, line, sizeof line);
    require(len > 0 && ss_seal_decode(line, (size_t)len, &seal) == 0);
    require(ss_seal_encode(&seal, again, sizeof again) == len && memcmp(line, again, (size_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_record(data, size);
    check_seal(data, size);
    return 0;
}
