/* Any bytes as a core file. */
#include "inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_format(&ss_inside_elf_dump, data, size);
    return 0;
}
