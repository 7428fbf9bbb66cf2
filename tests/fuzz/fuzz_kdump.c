/* Any bytes as a kdump, flattened or bare. */
#include "inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_format(&ss_inside_kdump_flat, data, size);
    check_format(&ss_inside_kdump_raw, data, size);
    return 0;
}
