/* Only in builds with a sanitizer, whose run-time is in the library then (meson.build), and allocates for the program.
 */
#include <stdlib.h>

#include "inside.h"

/* It minds a size that is no multiple of the alignment, which the C library allows and coreutils ask for. */
SS_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory;
    return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}
