/* One image that the user named by its path, opened for reading. */
#ifndef SAVESEAL_CORE_CHECK_IMAGE_H
#define SAVESEAL_CORE_CHECK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/seal.h"
#include "judgement.h"
#include "place.h"

/* Opens the image, following symbolic links; on a mount the file behind it. Returns true; or false with the reason,
 * which for a name that is not there tells about its drafts. */
bool ss_image_open(const char *path, int *fd, uint64_t *size, struct ss_judgement *why);

/* The same for the file called name in a place, not following a symbolic link; path is what it is called by. */
bool ss_image_open_at(const struct ss_place *place, const char *name, const char *path, int *fd, uint64_t *size,
                      struct ss_judgement *why);

/* Is what is open a regular file? Returns true with its size, or false with the reason. */
bool ss_image_is_file(int fd, uint64_t *size, struct ss_judgement *why);

/* Reads the seal. Returns true; or false with the reason: SS_UNSEALED, SS_SEAL_INVALID, SS_SEAL_TOO_NEW, ... */
bool ss_image_seal(int fd, struct ss_seal *seal, struct ss_judgement *why);

#endif
