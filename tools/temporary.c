#include "temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/util.h"

#define PREFIX ".saveseal-"
#define DIGITS 16

const char temporary_state[] = "state", temporary_manifest[] = "manifest";

void temporary_name(const char *kind, uint64_t number, char name[TEMPORARY_NAME_SIZE])
{
    snprintf(name, TEMPORARY_NAME_SIZE, PREFIX "%s-%016" PRIx64, kind, number);
}

/* FNV-1a */
uint64_t temporary_number_of(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t temporary_number(void)
{
    uint64_t number;

    if (getrandom(&number, sizeof number, 0) != sizeof number) /* a system without; two of one name are refused */
        number = ss_now_ns() ^ (uint64_t)getpid() << 32;
    return number;
}

int temporary_create(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

bool temporary_named(const char *name)
{
    static const char *const kinds[] = {temporary_state, temporary_manifest};

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    name += strlen(PREFIX);
    for (size_t i = 0; i < SS_ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i]);
        if (strncmp(name, kinds[i], len) == 0 && name[len] == '-' && strlen(name) == len + 1 + DIGITS &&
            strspn(name + len + 1, "0123456789abcdef") == DIGITS)
            return true;
    }
    return false;
}
