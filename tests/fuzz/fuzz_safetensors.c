/* Any bytes as a safetensors model. */
#include "inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_format(&ss_inside_safetensors, data, size);
    return 0;
}
