#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check/place.h"
#include "core/draft.h"
#include "core/util.h"
#include "report.h"
#include "temporary.h"

#define SAVE_EVERY_NS (SS_SECOND_NS / 4)
#define OPEN_TRIES 100 /* another run would have to replace it each time */
#define SAVE_SHARE 20  /* it is saved so seldom that it takes at most one part in so many of the time */

struct state {
    struct ss_place place; /* its directory */
    char name[NAME_MAX + 1];
    char temporary[TEMPORARY_NAME_SIZE]; /* what the next one is called until it is whole; of the lock's holder alone */
    int fd;                              /* of the file that has the name now; holds the lock */
    mode_t file_mode;
    struct ss_verify_state known; /* by earlier runs; one that was found anew has an empty stamp */
    struct ss_verify_result *added;
    size_t count, room;
    uint64_t saved_at, save_took; /* ns */
};

/* ---- opening ---- */

/* The lock is of the open file, and goes with its last descriptor. */
static int lock_file(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EAGAIN : -errno;
}

/* Opens and locks. Returns a descriptor, -EAGAIN when another has the lock, or -errno. */
static int open_locked(const struct state *state)
{
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat st;

    for (unsigned tries = 0; tries < OPEN_TRIES; tries++) {
        /* Looked at before it is opened: the open of a device can do things. */
        if (fstatat(state->place.seen, state->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
            return -EISDIR;
        SS_AUTO_CLOSE int fd = openat(state->place.seen, state->name, flags, 0666);
        if (fd < 0 || fstat(fd, &st) < 0)
            return -errno;
        if (!S_ISREG(st.st_mode))
            return -EISDIR;
        int r = lock_file(fd);
        if (r < 0)
            return r;
        if (ss_draft_still_named(state->place.seen, state->name,
                                 fd)) /* else another run has replaced it between the two */
            return ss_steal_fd(&fd);
    }
    return -EAGAIN;
}

static bool is_ours(const struct ss_verify_state *known, const char *mode, const char *against,
                    struct ss_judgement *why)
{
    if (strcmp(known->mode, mode) != 0)
        ss_judge(why, SS_DEST_EXISTS, "it is the state of another kind of run, %s instead of %s", known->mode, mode);
    else if (!known->finished && strcmp(known->against, against) != 0)
        ss_judge(why, SS_DEST_EXISTS,
                 "it is the state of a run that compared with something else, or an older version");
    else
        return true;
    return false;
}

static bool decode(struct state *state, const char *bytes, size_t len, struct ss_judgement *why)
{
    size_t line = 0;

    int r = ss_verify_state_decode(bytes, len, &state->known, &line);
    if (r == -EINVAL)
        ss_judge(why, SS_DEST_EXISTS, "it is no state of verify");
    else if (r == -EPROTONOSUPPORT)
        ss_judge(why, SS_DEST_EXISTS, "it is the state of a newer version of Saveseal");
    else if (r == -EBADMSG)
        ss_judge(why, SS_DEST_EXISTS, "as a state it is damaged, in line %zu", line);
    else if (r < 0)
        ss_judge_errno(why, r);
    return r == 0;
}

/* Reads what is there; an empty file is a new one. */
static bool read_known(struct state *state, const char *mode, const char *against, struct ss_judgement *why)
{
    struct stat st;

    if (fstat(state->fd, &st) < 0) {
        ss_judge_errno(why, -errno);
        return false;
    }
    state->file_mode = st.st_mode & 07777;
    if (st.st_size > (off_t)SS_VERIFY_STATE_MAX) {
        ss_judge(why, SS_DEST_EXISTS, "it is too long for a state of verify");
        return false;
    }
    size_t size = (size_t)st.st_size;
    SS_AUTO_FREE char *bytes = report_must(malloc(size + 1));
    ssize_t len = ss_pread_full(state->fd, bytes, size, 0);
    if (len < 0) {
        ss_judge_errno(why, (int)len);
        return false;
    }
    if (len > 0 && (!decode(state, bytes, (size_t)len, why) || !is_ours(&state->known, mode, against, why)))
        return false;
    if (len == 0 || state->known.finished) {
        ss_verify_state_free(&state->known);
        state->known.mode = report_must(strdup(mode));
        state->known.against = report_must(strdup(against));
    }
    return true;
}

/* Returns 0 with state->fd, or -errno as open_locked. */
static int find_place(struct state *state, const char *path)
{
    int r = ss_place_of(path, &state->place, state->name);

    if (r == 0 && state->place.on_mount) /* it would be a save that ends with this run, and be found by it */
        r = -EXDEV;
    if (r < 0)
        return r;
    temporary_name(temporary_state, temporary_number_of(state->name), state->temporary);
    r = open_locked(state);
    if (r >= 0)
        state->fd = r;
    return r < 0 ? r : 0;
}

struct state *state_open(const char *path, const char *mode, const char *against, struct ss_judgement *why)
{
    struct state *state = report_must(calloc(1, sizeof *state));

    state->place = (struct ss_place)SS_PLACE_NONE;
    state->fd = -1;
    int r = find_place(state, path);
    if (r == -EAGAIN)
        ss_judge(why, SS_BUSY, "another run has it");
    else if (r == -EXDEV)
        ss_judge(why, SS_REQUEST_REFUSED, "a state can not be on a mount of savesealfs: name a file elsewhere");
    else if (r == -EISDIR || r == -ELOOP)
        ss_judge(why, SS_NOT_A_FILE, "a state is a regular file, and no link");
    else if (r < 0)
        ss_judge_errno(why, r);
    if (r == 0 && read_known(state, mode, against, why)) {
        r = state_save(state, false); /* that it can not be written is told now, not after hours */
        if (r == 0)
            return state;
        ss_judge_errno(why, r);
    }
    state_close(state);
    return NULL;
}

void state_close(struct state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        free(state->added[i].path);
        free(state->added[i].stamp);
    }
    free(state->added);
    ss_verify_state_free(&state->known);
    ss_cleanup_close(&state->fd);
    ss_place_close(&state->place);
    free(state);
}

/* ---- remembering ---- */

const struct ss_verify_result *state_find(const struct state *state, const char *path, const struct stat *st,
                                          uint64_t fs)
{
    const struct ss_verify_result *known = ss_verify_state_find(&state->known, path);
    char stamp[SS_VERIFY_STAMP_SIZE];

    if (!known)
        return NULL;
    ss_verify_stamp(st, fs, stamp);
    return strcmp(known->stamp, stamp) == 0 ? known : NULL;
}

bool state_is(const struct state *state, const struct stat *st)
{
    struct stat own;

    return fstat(state->fd, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

void state_add(struct state *state, const char *path, const struct stat *st, uint64_t fs, enum ss_finding finding,
               bool content)
{
    const struct ss_verify_result *known = ss_verify_state_find(&state->known, path);
    char stamp[SS_VERIFY_STAMP_SIZE];

    if (known)
        known->stamp[0] = '\0'; /* what it was counts no more */
    if (state->count == state->room) {
        state->room = 2 * state->room + 64;
        state->added = report_must(reallocarray(state->added, state->room, sizeof *state->added));
    }
    ss_verify_stamp(st, fs, stamp);
    state->added[state->count++] = (struct ss_verify_result){
        .path = report_must(strdup(path)),
        .stamp = report_must(strdup(stamp)),
        .finding = finding,
        .content = content,
    };
    uint64_t pause = SAVE_SHARE * state->save_took > SAVE_EVERY_NS ? SAVE_SHARE * state->save_took : SAVE_EVERY_NS;
    if (ss_now_ns() - state->saved_at >= pause)
        state_save(state, false);
}

/* ---- saving ---- */

static int put_results(FILE *file, const struct ss_verify_result *results, size_t count, size_t *written)
{
    char line[SS_VERIFY_STATE_LINE_MAX];

    for (size_t i = 0; i < count; i++) {
        ssize_t len = *results[i].stamp ? ss_verify_result_encode(&results[i], line) : 0;
        if (len <= 0) /* one whose path is too long for a line is looked at again by each run */
            continue;
        if ((size_t)len > SS_VERIFY_STATE_MAX - *written) /* the next run would not read it */
            return -EFBIG;
        if (fwrite(line, 1, (size_t)len, file) != (size_t)len)
            return -errno;
        *written += (size_t)len;
    }
    return 0;
}

static int put_all(FILE *file, const struct state *state)
{
    char line[SS_VERIFY_STATE_LINE_MAX];

    ssize_t len = ss_verify_state_encode(&state->known, line);
    if (len < 0)
        return (int)len;
    size_t written = (size_t)len;
    if (fwrite(line, 1, written, file) != written)
        return -errno;
    int r = put_results(file, state->known.result, state->known.count, &written);
    if (r == 0)
        r = put_results(file, state->added, state->count, &written);
    if (r == 0 && (fflush(file) != 0 || fsync(fileno(file)) < 0))
        r = -errno;
    return r;
}

/* Writes all into the new file, which is locked before it gets the name, and lets it take the old one's place in
 * *state. */
static int replace(struct state *state, int fd)
{
    SS_AUTO_CLOSE int held = fd;
    int dir = state->place.seen, copy = dup(fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");

    if (!file) {
        int r = -errno;
        if (copy >= 0)
            close(copy);
        return r;
    }
    int r = lock_file(held);
    if (r == 0)
        r = fchmod(held, state->file_mode) < 0 ? -errno : put_all(file, state);
    if (fclose(file) != 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(dir, state->temporary, dir, state->name) < 0)
        r = -errno;
    if (r < 0)
        return r;
    ss_cleanup_close(&state->fd);
    state->fd = ss_steal_fd(&held);
    return ss_draft_sync_dir(dir);
}

int state_save(struct state *state, bool finished)
{
    uint64_t begin = ss_now_ns();
    int dir = state->place.seen;

    state->known.finished = finished;
    unlinkat(dir, state->temporary, 0); /* of a run that was killed: who has the lock is the only one to write it */
    int fd = temporary_create(dir, state->temporary);
    int r = fd < 0 ? fd : replace(state, fd);
    if (r < 0 && fd >= 0)
        unlinkat(dir, state->temporary, 0); /* does nothing when the name is gone with the rename */
    state->saved_at = ss_now_ns();
    state->save_took = state->saved_at - begin;
    return r;
}
