#include "absent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/check/place.h"
#include "core/scan.h"
#include "report.h"

static int add_target(void *targets, const struct ss_scan_entry *entry)
{
    names_add(targets, entry->name, 0);
    return 0;
}

void absent_free(struct absent *absent)
{
    names_free(&absent->targets);
    free(absent->dir);
    *absent = (struct absent){.dir = NULL};
}

static void search(struct absent *absent, const char *path)
{
    SS_PLACE_AUTO_CLOSE struct ss_place place = SS_PLACE_NONE;
    char name[NAME_MAX + 1];

    absent_free(absent);
    absent->dir = report_must(strndup(path, (size_t)(ss_place_base(path) - path)));
    int r = ss_place_of(path, &place, name);
    if (r == 0)
        r = place.hidden;
    if (r == 0)
        r = ss_scan_drafts(place.dir, add_target, &absent->targets);
    absent->searched = r == 0 || r == -ENOENT; /* no directory, no drafts */
    names_sort(&absent->targets);
}

static bool in_searched(const struct absent *absent, const char *path)
{
    size_t len = (size_t)(ss_place_base(path) - path);

    return absent->dir && strlen(absent->dir) == len && memcmp(absent->dir, path, len) == 0;
}

bool absent_is(struct absent *absent, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 || errno != ENOENT)
        return false;
    if (!in_searched(absent, path))
        search(absent, path);
    return absent->searched && !names_have(&absent->targets, ss_place_base(path));
}
