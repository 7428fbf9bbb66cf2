/* Any bytes as a zip. */
#include "inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_format(&ss_inside_zip, data, size);
    return 0;
}
