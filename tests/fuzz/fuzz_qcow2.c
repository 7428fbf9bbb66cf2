/* Any bytes as a qcow2 image, asked for the bitmap ck1. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/inside/qcow2.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ss_qcow2 image;
    size_t done;

    SS_AUTO_CLOSE int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && ss_pwrite_full(fd, data, size, 0, &done) == 0);
    int r = ss_qcow2_open(fd, size, &image);
    require(r == 0 || r == -EINVAL || r == -EBADMSG);
    require((r == -EBADMSG) == (image.why[0] != '\0'));
    if (r == 0) {
        char backing[SS_QCOW2_BACKING_NAME_MAX + 1];
        require(ss_qcow2_backing(&image, backing) == 0);
        r = ss_qcow2_check_bitmap(&image, "ck1");
        require(r == 0 || r == -ENOENT || r == -EBADMSG);
        require((r == -EBADMSG) == (image.why[0] != '\0'));
    }
    return 0;
}
