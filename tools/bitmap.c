#include "bitmap.h"

#include <errno.h>
#include <string.h>

#include "core/check/bitmap.h"
#include "core/check/place.h"
#include "core/util.h"
#include "report.h"

static int ask(void *limit)
{
    return limit_is_over(limit) ? -ECANCELED : 0;
}

void bitmap_check_named(const char *path, const char *wanted, struct limit *limit, uint64_t *size,
                        struct ss_judgement *why)
{
    SS_AUTO_FREE char *name = report_must(strdup(wanted));
    struct ss_bitmap_question asked = {.name = name, .disk = ss_place_base(path), .step = ask, .context = limit};

    char *equals = strchr(name, '=');
    if (equals) {
        *equals = '\0';
        asked.disk = equals + 1;
    }
    ss_bitmap_check(path, &asked, size, why);
}
