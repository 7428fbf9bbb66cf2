/* Many file names in little memory, each with one byte of its own. */
#ifndef SAVESEAL_TOOLS_NAMES_H
#define SAVESEAL_TOOLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is an empty one. */
struct names {
    char *bytes; /* each name: its byte, the name, NUL */
    size_t len, room;
    size_t *at;
    size_t count, slots;
};

void names_add(struct names *names, const char *name, unsigned char byte);

/* In the order of their bytes. */
void names_sort(struct names *names);

size_t names_count(const struct names *names);

/* Valid until the next names_add. */
const char *names_get(const struct names *names, size_t index, unsigned char *byte);

/* Only of sorted ones. */
bool names_have(const struct names *names, const char *name);

void names_free(struct names *names);

#endif
