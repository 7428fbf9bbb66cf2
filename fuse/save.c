#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/digest_memo.h"
#include "draft_index.h"
#include "passthrough.h"
#include "scarce.h"
#include "trim.h"

struct ss_save *ss_save_at(struct ss_fs *fs, uint32_t index)
{
    return (struct ss_save *)(void *)(fs->saves.base + (size_t)index * fs->saves.record_size);
}

bool ss_save_is(struct ss_fs *fs, uint32_t index, uint64_t serial)
{
    const struct ss_save *save = ss_save_at(fs, index);
    return save->in_use && save->serial == serial;
}

static bool image_has_its_place(struct ss_fs *fs, struct ss_save *save, uint64_t image)
{
    char target[NAME_MAX + 1];
    struct stat st;

    int dir = ss_save_place(fs, save, target);
    return fstatat(dir, target, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == image;
}

enum ss_superseding ss_save_superseding(struct ss_fs *fs, struct ss_save *save)
{
    enum ss_superseding found = save->superseded ? SS_SUPERSEDING_GONE : SS_SUPERSEDING_NOT;
    uint64_t image = atomic_load(&save->superseded_by_image);

    if (image != 0 && image_has_its_place(fs, save, image))
        return SS_SUPERSEDING_HERE;

    pthread_mutex_lock(&fs->tables);
    for (uint32_t i = 0; save->superseded && i < *fs->saves.used; i++) {
        const struct ss_save *other = ss_save_at(fs, i);
        if (ss_save_is(fs, i, save->superseded) && other->linked)
            found = ss_save_where(other)->dir == ss_save_where(save)->dir &&
                            strcmp(ss_save_where(other)->target, ss_save_where(save)->target) == 0
                        ? SS_SUPERSEDING_HERE
                        : SS_SUPERSEDING_NOT;
    }
    pthread_mutex_unlock(&fs->tables);
    return found;
}

static uint32_t bucket_of(uint32_t dir, const char *name)
{
    uint32_t hash = dir * 0x9e3779b1u;

    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x01000193u;
    return hash % SS_SAVE_BUCKETS;
}

static uint32_t *bucket(struct ss_fs *fs, uint32_t dir, const char *name)
{
    return &fs->save_buckets[bucket_of(dir, name)];
}

static bool is_at(const struct ss_save *save, uint32_t dir, const char *name)
{
    return ss_save_where(save)->dir == dir && strcmp(ss_save_where(save)->target, name) == 0;
}

/* With tables held: the first of that name at or behind index. */
static uint32_t first_from(struct ss_fs *fs, uint32_t index, uint32_t dir, const char *name)
{
    while (index != SS_NONE && !is_at(ss_save_at(fs, index), dir, name))
        index = ss_save_at(fs, index)->next;
    return index;
}

uint32_t ss_save_first_at(struct ss_fs *fs, uint32_t dir, const char *name)
{
    return first_from(fs, *bucket(fs, dir, name), dir, name);
}

uint32_t ss_save_next_at(struct ss_fs *fs, uint32_t index)
{
    const struct ss_save *save = ss_save_at(fs, index);

    return first_from(fs, save->next, ss_save_where(save)->dir, ss_save_where(save)->target);
}

/* With tables held. Whoever looked at the names there before this looks again: see is_new_since. */
static void note_move(struct ss_fs *fs, uint32_t dir, const char *name)
{
    fs->save_moved[bucket_of(dir, name)] = atomic_fetch_add(&fs->shared->serial, 1);
}

/* With tables held. Newest first. */
static void link_name(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint32_t *head = bucket(fs, ss_save_where(save)->dir, ss_save_where(save)->target);

    save->next = *head;
    *head = index;
    atomic_fetch_add(&fs->save_changes, 1);
}

static void unlink_name(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint32_t *link = bucket(fs, ss_save_where(save)->dir, ss_save_where(save)->target);

    while (*link != index)
        link = &ss_save_at(fs, *link)->next;
    *link = save->next;
    note_move(fs, ss_save_where(save)->dir, ss_save_where(save)->target);
    atomic_fetch_add(&fs->save_changes, 1);
}

static void init_locks(struct ss_save *save)
{
    pthread_mutex_init(&save->content, NULL);
    pthread_mutex_init(&save->preparing, NULL);
    pthread_mutex_init(&save->syncing, NULL);
    pthread_mutex_init(&save->state, NULL);
    pthread_cond_init(&save->idle, NULL);
}

static void init_record(struct ss_save *save, uint32_t node, uint32_t dir, const char *name, int base, bool exclusive)
{
    *save = (struct ss_save){
        .next = SS_NONE,
        .refs = 3, /* the caller, the node, the link */
        .node = node,
        .linked = true,
        .places[0].dir = dir,
        .next_deferred = SS_NONE,
        .created = base < 0,
        .base = base,
        .draft = -1,
        .witness = -1,
        .exclusive = exclusive,
        .verdict = SS_CLEAN,
    };
    snprintf(save->places[0].target, sizeof save->places[0].target, "%s", name);
    clock_gettime(CLOCK_MONOTONIC, &save->begun);
    init_locks(save);
}

/* With tables held: tid's open is on its way to the save. */
static void add_expected(struct ss_save *save, pid_t tid)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&save->state);
    for (size_t i = 0; i < SS_SAVE_EXPECTED_MAX; i++) {
        if (save->expected[i] == 0 || save->expected[i] == tid) {
            save->expected[i] = tid;
            save->expected_since = now.tv_sec;
            break;
        }
    }
    pthread_mutex_unlock(&save->state);
}

/* With tables held: announced, and nobody has opened it yet. It is not for others to see: its content is only the old
 * image's. */
static bool is_announced_only(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool announced = !save->opened && atomic_load(&save->draft) < 0;
    pthread_mutex_unlock(&save->state);
    return announced;
}

static bool expects(struct ss_save *save, pid_t tid)
{
    bool expected = false;

    pthread_mutex_lock(&save->state);
    for (size_t i = 0; i < SS_SAVE_EXPECTED_MAX; i++)
        expected |= save->expected[i] == tid;
    pthread_mutex_unlock(&save->state);
    return expected;
}

/* With tables held: a save of the name that another thread of the same process has just announced, or SS_NONE. */
static uint32_t announced_by(struct ss_fs *fs, uint32_t dir, const char *name, const struct ss_family *family)
{
    for (uint32_t i = ss_save_first_at(fs, dir, name); i != SS_NONE; i = ss_save_next_at(fs, i)) {
        struct ss_save *save = ss_save_at(fs, i);
        if (family->pid > 0 && save->family.pid == family->pid && save->family.start == family->start &&
            is_announced_only(save))
            return i;
    }
    return SS_NONE;
}

uint64_t ss_save_serial(struct ss_fs *fs)
{
    return atomic_load(&fs->shared->serial);
}

/* With tables held: may the family have one of that name by now, or have had one that is published already? */
static bool is_new_since(struct ss_fs *fs, uint32_t dir, const char *name, uint64_t since)
{
    if (fs->save_moved[bucket_of(dir, name)] >= since)
        return true;
    for (uint32_t i = ss_save_first_at(fs, dir, name); i != SS_NONE; i = ss_save_next_at(fs, i))
        if (ss_save_at(fs, i)->serial >= since || atomic_load(&ss_save_at(fs, i)->shown) >= since)
            return true;
    return false;
}

int ss_save_begin(struct ss_fs *fs, pid_t tid, uint32_t dir, const char *name, int base, bool exclusive, uint64_t since,
                  uint32_t *index)
{
    struct ss_family family;

    ss_family_found(&family, tid); /* reads /proc: before the lock */
    pthread_mutex_lock(&fs->tables);
    uint32_t same = base >= 0 ? announced_by(fs, dir, name, &family) : SS_NONE;
    if (same != SS_NONE) {
        ss_save_ref(fs, same);
        add_expected(ss_save_at(fs, same), tid);
        pthread_mutex_unlock(&fs->tables);
        ss_family_close(&family);
        close(base);
        *index = same;
        return 0;
    }
    bool raced = is_new_since(fs, dir, name, since);
    uint32_t taken = !raced && fs->save_count < ss_scarce_saves_max(fs) ? ss_pool_take(&fs->saves) : SS_NONE;
    uint32_t node = taken == SS_NONE ? SS_NONE : ss_node_take_save(fs, taken);
    if (node == SS_NONE) {
        if (taken != SS_NONE)
            ss_pool_give(&fs->saves, taken);
        pthread_mutex_unlock(&fs->tables);
        ss_family_close(&family);
        if (base >= 0)
            close(base);
        return raced ? -EAGAIN : -ENFILE;
    }
    struct ss_save *save = ss_save_at(fs, taken);
    init_record(save, node, dir, name, base, exclusive);
    save->serial = atomic_fetch_add(&fs->shared->serial, 1);
    save->family = family;
    save->expected[0] = tid;
    save->expected_since = save->begun.tv_sec;
    ss_slot_note_save(taken, save->serial);
    atomic_store(&save->in_use, true);
    ss_node_ref(fs, node);
    ss_node_ref(fs, dir);
    link_name(fs, taken);
    fs->save_count++;
    pthread_mutex_unlock(&fs->tables);
    *index = taken;
    return 0;
}

void ss_save_ref(struct ss_fs *fs, uint32_t index)
{
    ss_save_at(fs, index)->refs++;
}

void ss_save_unref(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    if (--save->refs > 0)
        return;
    ss_passthrough_forget_later(fs, atomic_load(&save->backing)); /* before nobody knows of it */
    atomic_store(&save->in_use, false);
    ss_digest_memo_free(atomic_load(&save->memo));
    ss_family_close(&save->family);
    ss_party_close(save);
    ss_fs_close_later(fs, save->base);
    ss_fs_close_later(fs, atomic_load(&save->draft));
    ss_fs_close_later(fs, atomic_load(&save->witness));
    pthread_mutex_destroy(&save->content);
    pthread_mutex_destroy(&save->preparing);
    pthread_mutex_destroy(&save->syncing);
    pthread_mutex_destroy(&save->state);
    pthread_cond_destroy(&save->idle);
    ss_node_unref(fs, ss_save_where(save)->dir);
    ss_pool_give(&fs->saves, index);
}

void ss_save_release(struct ss_fs *fs, uint32_t index)
{
    pthread_mutex_lock(&fs->tables);
    ss_save_unref(fs, index);
    pthread_mutex_unlock(&fs->tables);
}

/* With tables held. */
static void unlink_save(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);

    if (!save->linked)
        return;
    unlink_name(fs, index);
    ss_draft_index_remove(fs, save);
    save->linked = false;
    fs->save_count--;
    fs->finished++;
    ss_trim_notice(fs);
    ss_node_unref(fs, save->node);
    ss_save_unref(fs, index);
}

void ss_save_unlink(struct ss_fs *fs, uint32_t index)
{
    pthread_mutex_lock(&fs->tables);
    unlink_save(fs, index);
    pthread_mutex_unlock(&fs->tables);
}

void ss_save_withdraw(struct ss_fs *fs, uint32_t index, pid_t tid)
{
    pthread_mutex_lock(&fs->tables);
    const struct ss_place *place = ss_save_where(ss_save_at(fs, index));
    uint32_t next;
    for (uint32_t i = *bucket(fs, place->dir, place->target); i != SS_NONE; i = next) {
        struct ss_save *save = ss_save_at(fs, i);
        next = save->next;
        if (i == index || !is_at(save, place->dir, place->target) || !expects(save, tid))
            continue;
        pthread_mutex_lock(&save->state);
        ss_save_expected_came(save, tid);
        bool unwanted = !save->opened && ss_save_is_idle(save);
        pthread_mutex_unlock(&save->state);
        if (unwanted)
            unlink_save(fs, i);
    }
    pthread_mutex_unlock(&fs->tables);
}

void ss_save_relink(struct ss_fs *fs, uint32_t index, uint32_t dir, const char *name)
{
    pthread_mutex_lock(&fs->tables);
    struct ss_save *save = ss_save_at(fs, index);
    if (save->linked)
        unlink_name(fs, index);
    uint32_t old = ss_save_where(save)->dir;
    struct ss_place *place = &save->places[!save->place];
    place->dir = dir;
    snprintf(place->target, sizeof place->target, "%s", name);
    ss_node_ref(fs, dir);
    atomic_store(&save->place, !save->place);
    if (save->linked) {
        link_name(fs, index);
        note_move(fs, dir, name);
    }
    ss_node_unref(fs, old);
    pthread_mutex_unlock(&fs->tables);
}

int ss_save_data(struct ss_save *save)
{
    int draft = atomic_load(&save->draft);
    return draft >= 0 ? draft : save->base;
}

int ss_save_place(struct ss_fs *fs, struct ss_save *save, char target[NAME_MAX + 1])
{
    pthread_mutex_lock(&fs->tables);
    memcpy(target, ss_save_where(save)->target, NAME_MAX + 1);
    int dir = ss_node_at(fs, ss_node_id(ss_save_where(save)->dir))->fd;
    pthread_mutex_unlock(&fs->tables);
    return dir;
}

bool ss_save_visible_to(struct ss_fs *fs, struct ss_save *save, pid_t tid)
{
    struct stat st = {0};
    int draft = atomic_load(&save->draft);

    /* Without a draft yet the content is the image's own inode, which any reader may have open. */
    if (draft >= 0 && fstat(draft, &st) < 0)
        return false;
    return ss_family_includes(fs, &save->family, st.st_ino, tid);
}

/* With tables held: the first save of (dir, name) at or behind index, with a reference. */
static uint32_t next_candidate(struct ss_fs *fs, uint32_t index, uint32_t dir, const char *name)
{
    index = first_from(fs, index, dir, name);
    if (index != SS_NONE)
        ss_save_ref(fs, index);
    return index;
}

/* The family question is asked without the lock; if the candidate lost its name meanwhile, the walk starts again. */
uint32_t ss_save_find_besides(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid, uint32_t besides)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t index = next_candidate(fs, *bucket(fs, dir, name), dir, name);
    while (index != SS_NONE) {
        struct ss_save *save = ss_save_at(fs, index);

        pthread_mutex_unlock(&fs->tables);
        bool visible =
            index != besides && (!is_announced_only(save) || expects(save, tid)) && ss_save_visible_to(fs, save, tid);
        pthread_mutex_lock(&fs->tables);

        bool here = save->linked && is_at(save, dir, name);
        if (visible && here)
            break;
        uint32_t next = next_candidate(fs, here ? save->next : *bucket(fs, dir, name), dir, name);
        ss_save_unref(fs, index);
        index = next;
    }
    pthread_mutex_unlock(&fs->tables);
    return index;
}

uint32_t ss_save_find(struct ss_fs *fs, uint32_t dir, const char *name, pid_t tid)
{
    return ss_save_find_besides(fs, dir, name, tid, SS_NONE);
}

/* With tables held. */
static bool settles_since(struct ss_save *save, uint64_t before)
{
    pthread_mutex_lock(&save->state);
    bool settles = save->settle != SS_SETTLE_NO && save->settle_since <= before;
    pthread_mutex_unlock(&save->state);
    return settles;
}

uint32_t ss_save_find_settling(struct ss_fs *fs, uint32_t dir, const char *name, uint64_t before)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t index = ss_save_first_at(fs, dir, name);
    while (index != SS_NONE && !settles_since(ss_save_at(fs, index), before))
        index = ss_save_next_at(fs, index);
    if (index != SS_NONE)
        ss_save_ref(fs, index);
    pthread_mutex_unlock(&fs->tables);
    return index;
}

bool ss_save_is_at(struct ss_fs *fs, uint32_t dir, const char *name)
{
    pthread_mutex_lock(&fs->tables);
    bool is_there = ss_save_first_at(fs, dir, name) != SS_NONE;
    pthread_mutex_unlock(&fs->tables);
    return is_there;
}

void ss_save_claim(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    while (save->busy)
        pthread_cond_wait(&save->idle, &save->state);
    save->busy = true;
    pthread_mutex_unlock(&save->state);
}

void ss_save_yield(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    save->busy = false;
    pthread_cond_broadcast(&save->idle);
    pthread_mutex_unlock(&save->state);
}

void ss_save_expect(struct ss_fs *fs, struct ss_save *save, pid_t tid)
{
    pthread_mutex_lock(&fs->tables);
    add_expected(save, tid);
    pthread_mutex_unlock(&fs->tables);
}

time_t ss_save_failed_for(struct ss_save *save)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&save->state);
    time_t seconds = save->status == SS_SAVE_INTERRUPTED ? now.tv_sec - save->failed_at : -1;
    pthread_mutex_unlock(&save->state);
    return seconds;
}

bool ss_save_is_published(struct ss_save *save)
{
    pthread_mutex_lock(&save->state);
    bool published = save->status == SS_SAVE_PUBLISHED;
    pthread_mutex_unlock(&save->state);
    return published;
}

void ss_save_expected_came(struct ss_save *save, pid_t tid)
{
    for (size_t i = 0; i < SS_SAVE_EXPECTED_MAX; i++)
        if (tid == 0 || save->expected[i] == tid)
            save->expected[i] = 0;
}

bool ss_save_is_idle(const struct ss_save *save)
{
    for (size_t i = 0; i < SS_SAVE_EXPECTED_MAX; i++)
        if (save->expected[i] != 0)
            return false;
    return save->writers == 0;
}

void ss_save_each_fd(const struct ss_save *save, void (*visit)(void *context, int fd), void *context)
{
    visit(context, save->family.pidfd);
    visit(context, save->base);
    visit(context, save->draft);
    visit(context, save->witness);
    ss_party_each_fd(save, visit, context);
}

static bool is_older(const struct ss_save *a, const struct ss_save *b)
{
    return a->begun.tv_sec != b->begun.tv_sec ? a->begun.tv_sec < b->begun.tv_sec : a->begun.tv_nsec < b->begun.tv_nsec;
}

/* With tables held: among those of its bucket by age, newest first. */
static void link_by_age(struct ss_fs *fs, uint32_t index)
{
    struct ss_save *save = ss_save_at(fs, index);
    uint32_t *link = bucket(fs, ss_save_where(save)->dir, ss_save_where(save)->target);

    while (*link != SS_NONE && is_older(save, ss_save_at(fs, *link)))
        link = &ss_save_at(fs, *link)->next;
    save->next = *link;
    *link = index;
}

void ss_save_rebuild(struct ss_fs *fs)
{
    memset(fs->save_buckets, 0xff, sizeof fs->save_buckets);
    ss_draft_index_clear(fs);
    fs->save_count = 0;
    for (uint32_t i = 0; i < *fs->saves.used; i++) {
        struct ss_save *save = ss_save_at(fs, i);
        if (!save->in_use) {
            ss_pool_give(&fs->saves, i);
            continue;
        }
        init_locks(save);
        atomic_store(&save->memo, NULL);
        atomic_store(&save->digesting, false);
        save->busy = save->settle_listed = false;
        save->settle_waits = 0;
        save->next_deferred = SS_NONE;
        save->handles = save->writers = save->unflushed = 0;
        save->unsure = true;
        if (save->linked) {
            link_by_age(fs, i);
            ss_draft_index_enter(fs, save);
            fs->save_count++;
        }
    }
}

void ss_save_forget_digests(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < *fs->saves.used; i++) {
        struct ss_save *save = ss_save_at(fs, i);
        if (save->in_use)
            ss_digest_memo_free(atomic_exchange(&save->memo, NULL));
    }
}

uint32_t ss_save_next(struct ss_fs *fs, uint32_t index)
{
    pthread_mutex_lock(&fs->tables);
    uint32_t used = fs->save_count ? *fs->saves.used : 0;
    while (index < used && !(ss_save_at(fs, index)->in_use && ss_save_at(fs, index)->linked))
        index++;
    if (index < used)
        ss_save_ref(fs, index);
    pthread_mutex_unlock(&fs->tables);
    return index < used ? index : SS_NONE;
}
