#include "draft_index.h"

#include <string.h>

static uint32_t *bucket(struct ss_fs *fs, const char *draft_name)
{
    uint32_t hash = 0;

    for (const char *c = draft_name; *c; c++) /* they are random: anything spreads them */
        hash = hash * 31 + (unsigned char)*c;
    return &fs->draft_buckets[hash % SS_SAVE_BUCKETS];
}

static uint32_t index_of(const struct ss_fs *fs, const struct ss_save *save)
{
    return (uint32_t)((size_t)((const char *)save - fs->saves.base) / fs->saves.record_size);
}

void ss_draft_index_clear(struct ss_fs *fs)
{
    memset(fs->draft_buckets, 0xff, sizeof fs->draft_buckets);
}

void ss_draft_index_enter(struct ss_fs *fs, struct ss_save *save)
{
    if (!save->linked || atomic_load(&save->draft) < 0)
        return;
    uint32_t *head = bucket(fs, save->draft_name);
    save->next_draft = *head;
    *head = index_of(fs, save);
}

void ss_draft_index_add(struct ss_fs *fs, struct ss_save *save)
{
    pthread_mutex_lock(&fs->tables);
    ss_draft_index_enter(fs, save);
    pthread_mutex_unlock(&fs->tables);
}

void ss_draft_index_remove(struct ss_fs *fs, const struct ss_save *save)
{
    if (atomic_load(&save->draft) < 0)
        return; /* its name may be being made just now */
    uint32_t *link = bucket(fs, save->draft_name);
    while (*link != SS_NONE && ss_save_at(fs, *link) != save)
        link = &ss_save_at(fs, *link)->next_draft;
    if (*link != SS_NONE)
        *link = save->next_draft;
}

uint32_t ss_draft_index_find(struct ss_fs *fs, uint32_t dir, const char *draft_name)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t found = *bucket(fs, draft_name);
    while (found != SS_NONE && (strcmp(ss_save_at(fs, found)->draft_name, draft_name) != 0 ||
                                ss_save_where(ss_save_at(fs, found))->dir != dir))
        found = ss_save_at(fs, found)->next_draft;
    if (found != SS_NONE)
        ss_save_ref(fs, found);
    pthread_mutex_unlock(&fs->tables);
    return found;
}
