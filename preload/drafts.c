#include "drafts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "real.h"
#include "roots.h"
#include "self.h"
#include "where.h"
#include "core/util.h"

_Atomic uint16_t *ss_fd_map;

static struct ss_held *table; /* SS_DRAFTS_MAX */
static uint32_t used;         /* the first of the table that never were in use */
static _Atomic uint32_t count;
static bool all_at_exit;
static int highest;                /* descriptor that ever was ours */
static _Atomic uint64_t forked_at; /* ss_now_ns of the last fork */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sigset_t signals; /* of the thread that has the lock, to go back to */

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int ss_drafts_init(void)
{
    table = reserve(SS_DRAFTS_MAX * sizeof *table);
    _Atomic uint16_t *map = reserve(SS_FDS_MAX * sizeof *map);
    if (!table || !map)
        return -ENOMEM;
    ss_fd_map = map;
    return 0;
}

/* With all signals blocked: a handler that forks would wait for its own thread. */
void ss_drafts_lock(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_mutex_lock(&lock);
    signals = before;
}

void ss_drafts_unlock(void)
{
    sigset_t before = signals;

    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* With lock held. */
static struct ss_held *of_fd(int fd)
{
    uint16_t what = ss_fd_map[fd];

    return what == 0 || what == SS_FD_HIDDEN ? NULL : &table[what - 1];
}

/* With lock held. */
static void map_fd(int fd, uint16_t what)
{
    ss_fd_map[fd] = what;
    if (what && fd > highest)
        highest = fd;
}

/* With lock held. */
static void note_time(struct ss_held *held)
{
    struct stat st;

    if (fstat(held->witness, &st) == 0)
        held->forked = ss_stamp_of_content(&st);
}

void ss_drafts_before_fork(void)
{
    for (int fd = 0; fd <= highest && ss_drafts_any(); fd++) {
        struct ss_held *held = of_fd(fd);
        if (!held)
            continue;
        note_time(held);
        held->has_heirs |= !(fcntl(fd, F_GETFD) & FD_CLOEXEC); /* others it loses by exec, before it is itself */
    }
    forked_at = ss_now_ns();
}

void ss_drafts_send(int fd)
{
    ss_drafts_lock();
    struct ss_held *held = fd >= 0 && fd < SS_FDS_MAX ? of_fd(fd) : NULL;
    if (held) {
        note_time(held);
        held->has_heirs = true;
    }
    ss_drafts_unlock();
}

bool ss_drafts_forked_lately(void)
{
    return forked_at != 0 && ss_now_ns() - forked_at < SS_SECOND_NS;
}

bool ss_drafts_changed_since_fork(struct ss_held *held)
{
    struct stat st;

    if (fstat(held->witness, &st) < 0)
        return true;
    const struct ss_stamp now = ss_stamp_of_content(&st);
    ss_drafts_lock();
    bool changed = !ss_stamp_equal(&now, &held->forked);
    ss_drafts_unlock();
    return changed;
}

void ss_drafts_in_child(void)
{
    forked_at = 0; /* that was our parent's */
    for (uint32_t i = 0; i < used; i++) {
        pthread_mutex_init(&table[i].judging, NULL);
        table[i].uses = 0;
        if (table[i].in_use && table[i].judging_fd >= 0) {
            ss_real()->close(table[i].judging_fd); /* lease and lock stay with our parent */
            map_fd(table[i].judging_fd, 0);
        }
        table[i].judging_fd = -1;
        table[i].postponed = false; /* its owner's business */
    }
}

bool ss_drafts_any(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed) > 0;
}

int ss_fd_next(unsigned first, unsigned last)
{
    int found = -1;

    ss_drafts_lock();
    for (unsigned fd = first; found < 0 && fd <= last && fd <= (unsigned)highest; fd++)
        if (ss_fd_map[fd])
            found = (int)fd;
    ss_drafts_unlock();
    return found;
}

/* With lock held: a free place, or NULL. */
static struct ss_held *free_place(void)
{
    for (uint32_t i = 0; i < used; i++)
        if (!table[i].in_use)
            return &table[i];
    if (used == SS_DRAFTS_MAX - 1) /* the last number means "hidden" in the map, and 0 "not ours" */
        return NULL;
    return &table[used++];
}

struct ss_held *ss_drafts_add(int dir, int witness, const char *name, const char *target,
                              const struct ss_draft_record *record, const struct ss_stamp *copied)
{
    struct stat st;

    if (fstat(witness, &st) < 0)
        return NULL;
    ss_drafts_lock();
    struct ss_held *held = free_place();
    if (held) {
        memset(held, 0, sizeof *held);
        pthread_mutex_init(&held->judging, NULL);
        held->dir = dir;
        held->witness = witness;
        held->dev = st.st_dev;
        held->ino = st.st_ino;
        snprintf(held->name, sizeof held->name, "%s", name);
        snprintf(held->target, sizeof held->target, "%s", target);
        held->record = *record;
        held->copied = copied != NULL;
        if (copied)
            held->copied_at = *copied;
        held->judging_fd = -1;
        held->in_use = true;
        held->at_exit = all_at_exit;
        held->owner = getpid();
        held->uses = 1;
        map_fd(dir, SS_FD_HIDDEN);
        map_fd(witness, SS_FD_HIDDEN);
        atomic_fetch_add(&count, 1);
    }
    ss_drafts_unlock();
    return held;
}

void ss_drafts_judging(struct ss_held *held, int fd)
{
    ss_drafts_lock();
    if (held->judging_fd >= 0)
        map_fd(held->judging_fd, 0);
    held->judging_fd = fd;
    if (fd >= 0)
        map_fd(fd, SS_FD_HIDDEN);
    ss_drafts_unlock();
}

static bool is_judging(int fd)
{
    bool found = false;

    ss_drafts_lock();
    for (uint32_t i = 0; !found && i < used; i++)
        found = table[i].in_use && table[i].judging_fd == fd;
    ss_drafts_unlock();
    return found;
}

int ss_drafts_move(int fd)
{
    if (is_judging(fd))
        return -EBUSY;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

    if (moved < 0 || moved >= SS_FDS_MAX) {
        if (moved >= 0)
            close(moved);
        return -EMFILE;
    }
    ss_drafts_lock();
    for (uint32_t i = 0; i < used; i++) {
        if (table[i].in_use && table[i].dir == fd)
            table[i].dir = moved;
        if (table[i].in_use && table[i].witness == fd)
            table[i].witness = moved;
    }
    map_fd(moved, SS_FD_HIDDEN);
    map_fd(fd, 0);
    ss_drafts_unlock();
    close(fd);
    return 0;
}

/* With lock held. */
static struct ss_held *take(struct ss_held *held)
{
    held->uses++;
    return held;
}

static bool has_target(const struct ss_held *held, const char *target)
{
    return strcmp(held->target, target) == 0;
}

static bool has_name(const struct ss_held *held, const char *name)
{
    return strcmp(held->name, name) == 0;
}

static struct ss_held *find(bool (*matches)(const struct ss_held *held, const char *what), const char *what)
{
    struct ss_held *found = NULL;

    if (!ss_drafts_any())
        return NULL;
    ss_drafts_lock();
    for (uint32_t i = 0; !found && i < used; i++)
        if (table[i].in_use && !table[i].over && matches(&table[i], what))
            found = take(&table[i]);
    ss_drafts_unlock();
    return found;
}

struct ss_held *ss_drafts_find(const char *target)
{
    return find(has_target, target);
}

struct ss_held *ss_drafts_find_named(const char *name)
{
    return find(has_name, name);
}

struct ss_held *ss_drafts_next(uint32_t *index)
{
    struct ss_held *found = NULL;

    ss_drafts_lock();
    for (; !found && *index < used; (*index)++)
        if (table[*index].in_use && !table[*index].over)
            found = take(&table[*index]);
    ss_drafts_unlock();
    return found;
}

/* With lock held. */
static void release(struct ss_held *held)
{
    held->in_use = false;
    map_fd(held->dir, 0);
    map_fd(held->witness, 0);
    ss_real()->close(held->dir);
    ss_real()->close(held->witness);
    atomic_fetch_sub(&count, 1);
}

void ss_drafts_put(struct ss_held *held)
{
    ss_drafts_lock();
    held->uses--;
    if (held->uses == 0 && held->over && held->fds == 0)
        release(held);
    ss_drafts_unlock();
}

/* With lock held: the descriptor is not the draft's any more that it was. */
static void let_go(int fd)
{
    struct ss_held *held = of_fd(fd);

    if (!held)
        return;
    map_fd(fd, 0);
    held->fds--;
    if (held->uses == 0 && held->over && held->fds == 0)
        release(held);
}

int ss_drafts_bind(struct ss_held *held, int fd)
{
    if (fd < 0 || fd >= SS_FDS_MAX)
        return -EMFILE;
    ss_drafts_lock();
    let_go(fd);
    map_fd(fd, (uint16_t)(held - table + 1));
    held->fds++;
    ss_drafts_unlock();
    return 0;
}

void ss_drafts_unbind(int fd)
{
    ss_drafts_lock();
    let_go(fd);
    ss_drafts_unlock();
}

static struct ss_held *take_of_fd(int fd)
{
    ss_drafts_lock();
    struct ss_held *held = of_fd(fd);
    if (held)
        take(held);
    ss_drafts_unlock();
    return held;
}

static bool is_of(const struct ss_held *held, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == held->dev && st.st_ino == held->ino;
}

struct ss_held *ss_drafts_of_fd(int fd)
{
    struct ss_held *held = ss_fd_is_ours(fd) ? take_of_fd(fd) : NULL;

    if (!held || is_of(held, fd))
        return held;
    ss_drafts_unbind(fd); /* closed behind our back, and perhaps another file's by now */
    ss_drafts_put(held);
    return NULL;
}

struct ss_held *ss_drafts_part(int fd)
{
    if (!ss_fd_is_ours(fd))
        return NULL;
    ss_drafts_lock();
    struct ss_held *held = of_fd(fd);
    bool is_its = held && is_of(held, fd); /* else it was closed behind our back */
    if (is_its)
        take(held);
    let_go(fd);
    ss_drafts_unlock();
    return is_its ? held : NULL;
}

struct ss_held *ss_drafts_take_stale(int fd)
{
    struct ss_held *held = ss_fd_is_ours(fd) ? take_of_fd(fd) : NULL;

    if (held && is_of(held, fd)) {
        ss_drafts_put(held);
        return NULL;
    }
    if (held)
        ss_drafts_unbind(fd);
    return held;
}

void ss_drafts_rename(struct ss_held *held, const char *target)
{
    ss_drafts_lock();
    snprintf(held->target, sizeof held->target, "%s", target);
    ss_drafts_unlock();
}

void ss_drafts_target(struct ss_held *held, char target[PATH_MAX])
{
    ss_drafts_lock();
    strcpy(target, held->target);
    ss_drafts_unlock();
}

/* --- of earlier programs, and of other processes --- */

/* A draft that another program has made, by its canonical name; witness: hidden. In hand, or NULL. */
static struct ss_held *add_known(int dir, int witness, const char *canonical, const char *name)
{
    struct ss_draft_record record;
    char target[PATH_MAX];

    if (ss_draft_read(witness, &record) < 0 || !ss_draft_still_named(dir, name, witness))
        return NULL;
    snprintf(target, sizeof target, "%.*s%s", (int)(name - canonical), canonical, record.target);
    struct ss_held *held = ss_drafts_add(dir, witness, name, target, &record, NULL);
    if (!held)
        return NULL;
    held->was_partial = record.state == SS_DRAFT_WAIT;
    ss_drafts_lock();
    note_time(held);
    ss_drafts_unlock();
    return held;
}

/* The directory of a draft, hidden; or -errno. */
static int open_home(const char *path, char canonical[PATH_MAX], const char **name)
{
    if (!ss_roots_cover(path, canonical))
        return -ENOENT;
    int dir = ss_roots_open_parent(canonical, name);
    return dir < 0 ? dir : ss_self_hide_fd(dir);
}

static void add_inherited(int fd, const char *path, bool at_exit)
{
    char canonical[PATH_MAX];
    const char *name;

    SS_AUTO_CLOSE int dir = open_home(path, canonical, &name);
    SS_AUTO_CLOSE int witness = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (witness < 0 || !ss_draft_still_named(dir, name, fd))
        return;
    witness = ss_self_hide_fd(witness);
    struct ss_held *held = witness < 0 ? NULL : add_known(dir, witness, canonical, name);
    if (!held)
        return;
    ss_steal_fd(&dir);
    ss_steal_fd(&witness);
    held->at_exit |= at_exit;
    ss_drafts_bind(held, fd);
    ss_drafts_put(held);
}

struct ss_held *ss_drafts_adopt(int witness)
{
    char path[PATH_MAX], canonical[PATH_MAX];
    const char *name;

    if (witness < 0 || witness >= SS_FDS_MAX || !ss_where_of_fd(witness, path))
        return NULL;
    SS_AUTO_CLOSE int dir = open_home(path, canonical, &name);
    struct ss_held *held = dir < 0 ? NULL : add_known(dir, witness, canonical, name);
    if (!held)
        return NULL;
    ss_steal_fd(&dir);
    fcntl(witness, F_SETFD, FD_CLOEXEC);
    return held;
}

/* Returns true for what an earlier program handed on. */
static bool recognise(int fd, bool at_exit)
{
    static const char handed_on[] = "/memfd:" SS_HANDOVER_NAME " (deleted)";
    char path[PATH_MAX];
    struct stat st;

    int saved = errno;
    bool found = false;
    if (fd < SS_FDS_MAX && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY &&
        ss_where_of_fd(fd, path)) {
        const char *name = strrchr(path, '/') + 1;
        if (ss_draft_reserved(name)) {
            SS_AUTO_PUT struct ss_held *known = ss_drafts_find_named(name);
            if (known && known->ino == st.st_ino && known->dev == st.st_dev)
                ss_drafts_bind(known, fd);
            else
                add_inherited(fd, path, at_exit);
        }
        found = strcmp(path, handed_on) == 0;
    }
    errno = saved;
    return found;
}

void ss_drafts_recognise(int fd)
{
    recognise(fd, false);
}

void ss_drafts_commit_at_exit(void)
{
    all_at_exit = true;
}

int ss_drafts_inherit(void)
{
    DIR *fds = opendir("/proc/self/fd");
    int handed_on = -1;

    if (!fds)
        return -1;
    for (const struct dirent *entry; (entry = readdir(fds));) {
        int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);
        if (fd >= 0 && recognise(fd, true)) /* at_exit: cat a missing >file closes it, and only then fails */
            handed_on = fd;
    }
    closedir(fds);
    return handed_on;
}
