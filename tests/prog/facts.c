/* facts FILE [deep]: what ss_inside_check() finds in a file: a line for its kind and finding, one for the clause, and
 * one for each fact. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "core/inside/inside.h"
#include "core/util.h"

int main(int argc, char **argv)
{
    const struct ss_inside_options options = {.deep = argc > 2};
    struct ss_inside inside;
    struct stat st;

    SS_AUTO_CLOSE int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || ss_inside_check(fd, (uint64_t)st.st_size, &options, &inside) < 0) {
        fprintf(stderr, "facts: can not be read\n");
        return 1;
    }
    printf("%s %s\n%s\n", inside.kind, ss_finding_text(inside.finding)->id, inside.detail);
    for (size_t i = 0; i < inside.fact_count; i++)
        printf("%s: %s\n", inside.facts[i].key, inside.facts[i].text);
    return 0;
}
