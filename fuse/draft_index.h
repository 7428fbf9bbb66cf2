/* Which save a draft's hidden name belongs to: a listing asks for each. A hash by that name, of the drafts whose saves
 * can be found by their own. All of it can be derived, so it is this worker's own and made anew by the next one. */
#ifndef SAVESEAL_FUSE_DRAFT_INDEX_H
#define SAVESEAL_FUSE_DRAFT_INDEX_H

#include "save.h"

/* With tables held, or before there are threads: nothing is known. */
void ss_draft_index_clear(struct ss_fs *fs);

/* The save has its draft now, whose name does not change any more. Takes tables. Nothing is entered for a save that has
 * lost its name meanwhile. */
void ss_draft_index_add(struct ss_fs *fs, struct ss_save *save);

/* The same with tables held. */
void ss_draft_index_enter(struct ss_fs *fs, struct ss_save *save);

/* With tables held: the save is losing its name. Nothing happens when it is not known here. */
void ss_draft_index_remove(struct ss_fs *fs, const struct ss_save *save);

/* The save of the draft file `draft_name` in directory node dir, with a reference, or SS_NONE. Takes tables. */
uint32_t ss_draft_index_find(struct ss_fs *fs, uint32_t dir, const char *draft_name);

#endif
