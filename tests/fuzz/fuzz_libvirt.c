/* Any bytes as a file; or, after a first byte below 8, as the stream of that kind of a libvirt save image. */
#include "inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Header and XML of an image whose stream is what the fuzzer says, so that it need not find them. */
static void with_stream(uint8_t kind, const uint8_t *stream, size_t size)
{
    static const char xml[] = "<domain type='kvm'><name>a</name></domain>";
    const uint32_t fields[] = {2, sizeof xml, 1, kind, 0};

    SS_AUTO_FREE uint8_t *image = calloc(1, 92 + sizeof xml + size);
    require(image != NULL);
    memcpy(image, "LibvirtQemudSave", 16);
    memcpy(image + 16, fields, sizeof fields);
    memcpy(image + 92, xml, sizeof xml);
    if (size > 0)
        memcpy(image + 92 + sizeof xml, stream, size);
    look_inside(image, 92 + sizeof xml + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] < 8)
        with_stream(data[0], data + 1, size - 1);
    else
        look_inside(data, size);
    return 0;
}
