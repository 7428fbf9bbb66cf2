/* Any bytes as a qcow2 image: asked for the bitmap ck1, and looked at, as far as its tables and all of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/inside/inside.h"
#include "core/inside/qcow2.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static enum ss_finding look(int fd, size_t size, bool deep)
{
    const struct ss_inside_options options = {.deep = deep};
    struct ss_inside inside;

    require(ss_inside_check(fd, size, &options, &inside) == 0);
    require(inside.fact_count <= SS_FACTS_MAX && memchr(inside.detail, '\0', sizeof inside.detail));
    return inside.finding;
}

/* What the tables alone show to be damaged is not whole for whoever looks at all of it. */
static void look_twice(int fd, size_t size)
{
    const enum ss_class quick = ss_finding_text(look(fd, size, false))->class;
    const enum ss_class deep = ss_finding_text(look(fd, size, true))->class;

    require(quick == SS_CLASS_UNKNOWN || (quick == SS_CLASS_DAMAGED && deep != SS_CLASS_INTACT));
    require(deep == SS_CLASS_UNKNOWN || deep == SS_CLASS_DAMAGED || deep == SS_CLASS_INTACT);
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
    if (size >= 8 && memcmp(data, "QFI\xfb", 4) == 0)
        look_twice(fd, size);
    return 0;
}
