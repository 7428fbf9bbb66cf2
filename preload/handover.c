#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "drafts.h"
#include "ending.h"
#include "inside.h"
#include "judge.h"
#include "readable.h"
#include "real.h"
#include "self.h"
#include "where.h"

#define NOTHING (-1)

/* The file is a head and drafts up to its end. Both programs are of this machine, but perhaps not of one version of the
 * library. */
struct head {
    uint32_t magic, size; /* MAGIC, of a draft here */
    pid_t pid;            /* of whom it is for: a child that has a copy is not meant */
};
#define MAGIC 0x55a1ed01 /* to be raised when a field changes its meaning */

struct handed {
    int witness;
    int failed;
    bool closed; /* by exec */
    bool postponed, left, copied, was_partial, at_exit;
    struct ss_stamp copied_at, left_at;
};

/* --- the program that calls exec --- */

/* Which drafts the next program finds open, and so takes over by itself. */
static void find_kept(bool kept[SS_DRAFTS_MAX])
{
    unsigned next = 0;

    for (int fd; (fd = ss_fd_next(next, SS_FDS_MAX - 1)) >= 0; next = (unsigned)fd + 1) {
        uint16_t what = ss_fd_map[fd];
        int flags = what == 0 || what == SS_FD_HIDDEN ? -1 : ss_real()->fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            kept[what - 1] = true;
    }
}

/* With judging held. Is it of this process, or was it left by a creator that went well? Else that one will judge it, or
 * has vanished. */
static bool is_to_be_judged(const struct ss_held *held)
{
    struct ss_draft_record record;

    return !held->over && (held->record.pid == getpid() || held->record.left ||
                           (ss_draft_read(held->witness, &record) == 0 && record.left));
}

/* With judging held. */
static struct handed describe(const struct ss_held *held)
{
    struct handed handed;

    memset(&handed, 0, sizeof handed); /* gaps, too: it goes into a file */
    handed.witness = held->witness;
    handed.failed = held->failed;
    handed.closed = held->fds > 0 || held->mapped || held->unjudged;
    handed.postponed = held->postponed && held->owner == getpid();
    handed.left = held->left;
    handed.copied = held->copied;
    handed.was_partial = held->was_partial;
    handed.at_exit = held->at_exit && held->owner == getpid();
    handed.copied_at = held->copied_at;
    handed.left_at = held->left_at;
    return handed;
}

static int make_file(void)
{
    const struct head head = {MAGIC, sizeof(struct handed), getpid()};

    int fd = memfd_create(SS_HANDOVER_NAME, MFD_CLOEXEC);
    if (fd >= 0)
        fd = ss_self_hide_fd(fd);
    if (fd >= 0 && write(fd, &head, sizeof head) != sizeof head) {
        close(fd);
        return NOTHING;
    }
    return fd < 0 ? NOTHING : fd;
}

static void keep_open(int fd, bool keep)
{
    fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

/* Makes the file at the first draft. Without one, for want of a descriptor, the draft stays as if nobody had closed it.
 */
static void hand_on(struct ss_held *held, int *file)
{
    pthread_mutex_lock(&held->judging);
    if (is_to_be_judged(held)) {
        const struct handed handed = describe(held);
        if (*file == NOTHING)
            *file = make_file();
        if (*file != NOTHING && write(*file, &handed, sizeof handed) == sizeof handed)
            keep_open(held->witness, true);
    }
    pthread_mutex_unlock(&held->judging);
}

static int hand_all_on(void)
{
    bool kept[SS_DRAFTS_MAX] = {false};
    uint32_t next = 0;
    int file = NOTHING;

    find_kept(kept);
    for (struct ss_held *held; (held = ss_drafts_next(&next));) {
        if (!kept[next - 1])
            hand_on(held, &file);
        ss_drafts_put(held);
    }
    if (file != NOTHING)
        keep_open(file, true);
    return file;
}

int ss_handover_before(const char *program, bool by_path, char *const environment[])
{
    int saved = errno;
    int file = NOTHING;

    if (!ss_active || ss_inside() || !ss_drafts_any() || !ss_self_may_remember() || !ss_readable_path(program))
        return file;
    SS_INSIDE;
    if (ss_child_is_protected(program, by_path, environment)) /* to others, these would be descriptors left open */
        file = hand_all_on();
    errno = saved;
    return file;
}

/* Reads the drafts one after the other. */
static bool next_of(int file, struct handed *handed)
{
    return read(file, handed, sizeof *handed) == sizeof *handed;
}

void ss_handover_failed(int file)
{
    struct handed handed;
    int saved = errno;

    if (file == NOTHING)
        return;
    SS_INSIDE;
    keep_open(file, false);
    if (lseek(file, sizeof(struct head), SEEK_SET) >= 0)
        while (next_of(file, &handed))
            keep_open(handed.witness, false);
    close(file);
    errno = saved;
}

/* --- the next program --- */

static int found = NOTHING; /* set and used before there are threads */

/* A draft, open for reading: nothing else is touched, whatever the file says. */
static bool is_witness(int fd)
{
    char path[PATH_MAX];

    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY && ss_where_of_fd(fd, path) &&
           ss_draft_reserved(strrchr(path, '/') + 1);
}

static void judge(struct ss_held *held, const struct handed *handed)
{
    held->failed = handed->failed;
    held->copied = handed->copied;
    held->copied_at = handed->copied_at;
    held->was_partial |= handed->was_partial;
    held->at_exit |= handed->at_exit;
    held->postponed = handed->postponed;
    if (handed->left) {
        held->left_at = handed->left_at;
        held->left = true;
        atomic_store(&ss_judge_any_left, true);
    }
    if (handed->closed)
        ss_ending_closed(held, 0); /* exec has no way to say that this failed: the draft's record has */
    else
        ss_ending_look();
}

void ss_handover_found(int fd)
{
    found = fd;
}

void ss_handover_take(void)
{
    struct head head;
    struct handed handed;
    int file = found;

    if (file == NOTHING)
        return;
    SS_INSIDE;
    found = NOTHING;
    bool readable = pread(file, &head, sizeof head, 0) == sizeof head && head.magic == MAGIC &&
                    head.size == sizeof handed && lseek(file, sizeof head, SEEK_SET) >= 0;
    while (readable && next_of(file, &handed)) {
        if (!is_witness(handed.witness))
            continue;
        SS_AUTO_PUT struct ss_held *held = head.pid == getpid() ? ss_drafts_adopt(handed.witness) : NULL;
        if (held)
            judge(held, &handed);
        else
            close(handed.witness);
    }
    close(file);
}
