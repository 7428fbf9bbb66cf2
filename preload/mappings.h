/* Shared mappings of drafts in this process: they count as open for writing, and may outlive every descriptor. */
#ifndef SAVESEAL_PRELOAD_MAPPINGS_H
#define SAVESEAL_PRELOAD_MAPPINGS_H

#include "drafts.h"

bool ss_mappings_any(const struct ss_held *held);

/* At the end of the process: makes them private ones, in which other threads may go on to read. */
void ss_mappings_privatise(const struct ss_held *held);

#endif
