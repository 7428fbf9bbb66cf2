#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

void names_add(struct names *names, const char *name, unsigned char byte)
{
    size_t len = strlen(name) + 2;

    if (names->room - names->len < len) {
        names->room = 2 * names->room + len + 256;
        names->bytes = report_must(realloc(names->bytes, names->room));
    }
    if (names->count == names->slots) {
        names->slots = 2 * names->slots + 16;
        names->at = report_must(reallocarray(names->at, names->slots, sizeof *names->at));
    }
    names->at[names->count++] = names->len;
    names->bytes[names->len] = (char)byte;
    memcpy(names->bytes + names->len + 1, name, len - 1);
    names->len += len;
}

static int compare(const void *a, const void *b, void *context)
{
    const struct names *names = context;

    return strcmp(names->bytes + *(const size_t *)a + 1, names->bytes + *(const size_t *)b + 1);
}

void names_sort(struct names *names)
{
    if (names->count > 1)
        qsort_r(names->at, names->count, sizeof *names->at, compare, names);
}

size_t names_count(const struct names *names)
{
    return names->count;
}

const char *names_get(const struct names *names, size_t index, unsigned char *byte)
{
    const char *entry = names->bytes + names->at[index];

    *byte = (unsigned char)entry[0];
    return entry + 1;
}

bool names_have(const struct names *names, const char *name)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, names->bytes + names->at[middle] + 1);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

void names_free(struct names *names)
{
    free(names->at);
    free(names->bytes);
    *names = (struct names){.bytes = NULL};
}
