/* Any number and any text as an error of libvirt. */
#include <stdlib.h>
#include <string.h>

#include "core/libvirt_error.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SS_AUTO_FREE char *message = NULL; /* of just its size, so that what is read behind it is seen */
    int code = 0;

    if (size < sizeof code)
        return 0;
    memcpy(&code, data, sizeof code);
    if (!(message = strndup((const char *)data + sizeof code, size - sizeof code)))
        abort();
    const struct ss_finding_text *text = ss_finding_text(ss_libvirt_finding(code, message));
    if (!text || !text->id || !text->advice || ss_libvirt_finding(code, message) != ss_libvirt_finding(code, message))
        abort();
    return 0;
}
