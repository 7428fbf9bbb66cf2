#include "trim.h"

#include <stdlib.h>
#include <string.h>

#include "core/util.h"
#include "save.h"

#define BATCH 512u

struct name {
    fuse_ino_t parent;
    char text[NAME_MAX + 1];
};

static bool is_scarce(const struct ss_fs *fs)
{
    return ss_pool_count(&fs->nodes) > fs->node_limit;
}

void ss_trim_notice(struct ss_fs *fs)
{
    if (fs->finished > fs->node_limit / 8 || is_scarce(fs))
        atomic_store(&fs->trim_wanted, true);
}

bool ss_trim_wanted(struct ss_fs *fs)
{
    return atomic_load(&fs->trim_wanted) && atomic_exchange(&fs->trim_wanted, false);
}

/* With tables held: the name under which the kernel knows an idle node. */
static bool idle_name(struct ss_fs *fs, struct ss_node *node, bool scarce, struct name *name)
{
    if (node->nlookup == 0 || node->refs > 0)
        return false;
    if (node->kind == SS_NODE_SAVE) {
        const struct ss_save *save = ss_save_at(fs, node->save);
        name->parent = ss_node_id(ss_save_where(save)->dir);
        memcpy(name->text, ss_save_where(save)->target, sizeof name->text);
        return true;
    }
    if (node->kind != SS_NODE_IMAGE || !scarce)
        return false;
    name->parent = ss_node_id(node->dir);
    memcpy(name->text, node->name, sizeof name->text);
    return true;
}

/* Collects names from node number *at on. */
static size_t collect(struct ss_fs *fs, uint32_t *at, struct name names[BATCH])
{
    size_t count = 0;

    pthread_mutex_lock(&fs->tables);
    bool scarce = is_scarce(fs);
    for (; *at < *fs->nodes.used && count < BATCH; ++*at)
        count += idle_name(fs, ss_pool_at(&fs->nodes, *at), scarce, &names[count]);
    fs->finished = 0;
    pthread_mutex_unlock(&fs->tables);
    return count;
}

void ss_trim(struct ss_fs *fs, struct fuse_session *session)
{
    SS_AUTO_FREE struct name *names = malloc(BATCH * sizeof *names);
    uint32_t at = SS_ROOT_NODE + 1;
    size_t count;

    while (names && (count = collect(fs, &at, names)) > 0)
        for (size_t i = 0; i < count; i++)
            fuse_lowlevel_notify_inval_entry(session, names[i].parent, names[i].text, strlen(names[i].text));
}
