/* mapped-ram, which libvirt calls sparse: each page of memory has a place of its own in the file, and a bitmap before
 * them tells which were written. docs/devel/migration/mapped-ram.rst in QEMU. Whether a page that should be there was
 * lost can not be told: it looks like one that was never written. */
#ifndef SAVESEAL_CORE_INSIDE_MAPPED_RAM_H
#define SAVESEAL_CORE_INSIDE_MAPPED_RAM_H

#include "ram_section.h"

/* Behind the entry of the first block: is there a head of mapped-ram? Then ram->mapped is set, its offsets are checked,
 * and the flow goes on behind the pages. Else, if it need not be there, nothing happens. */
enum ss_walk ss_mapped_ram_block(struct ss_ram *ram, const struct ss_ram_block *block, struct ss_flow *flow);

#endif
