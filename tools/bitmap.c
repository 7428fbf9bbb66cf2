#include "bitmap.h"

#include <string.h>

#include "core/check/bitmap.h"
#include "core/check/place.h"
#include "core/util.h"
#include "report.h"

void bitmap_check_named(const char *path, const char *asked, uint64_t *size, struct ss_judgement *why)
{
    SS_AUTO_FREE char *name = report_must(strdup(asked));
    const char *disk = ss_place_base(path);

    char *equals = strchr(name, '=');
    if (equals) {
        *equals = '\0';
        disk = equals + 1;
    }
    ss_bitmap_check(path, name, disk, NULL, size, why);
}
