/* Streams: the C library opens and closes their files without calling open and close by name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "begin.h"
#include "drafts.h"
#include "ending.h"
#include "inside.h"
#include "judge.h"
#include "real.h"
#include "self.h"
#include "streams.h"

/* What fopen's mode asks of open; -1 for a mode that fopen does not know. */
static int flags_of(const char *mode)
{
    int flags = mode[0] == 'r'   ? O_RDONLY
                : mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                                 : O_WRONLY | O_CREAT | O_APPEND;

    if (mode[0] == '\0' || !strchr("rwa", mode[0]))
        return -1;
    for (const char *c = mode + 1; *c && *c != ','; c++) {
        if (*c == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else if (*c == 'x')
            flags |= O_EXCL;
        else if (*c == 'e')
            flags |= O_CLOEXEC;
    }
    return flags;
}

static bool is_plain(const char *path, const char *mode)
{
    int flags = mode ? flags_of(mode) : -1;
    return flags < 0 || ss_begin_is_plain(path, flags) || !ss_begin_concerns(path);
}

/* The mode for a file that has been made just now. */
static void without_exclusion(const char *mode, char *buf, size_t size)
{
    size_t len = 0;

    for (; *mode && len + 1 < size; mode++)
        if (*mode != 'x')
            buf[len++] = *mode;
    buf[len] = '\0';
}

static void remember(FILE *stream, struct ss_held *held)
{
    int r = ss_streams_add(stream);

    if (r < 0)
        ss_judge_failed(held, r); /* nobody would flush it in time when the process ends */
}

/* stream is a second description of the draft that fd is of, if it is of one. */
static void adopt_stream(FILE *stream, int fd)
{
    SS_INSIDE;
    SS_AUTO_PUT struct ss_held *held = ss_drafts_of_fd(fd);
    if (!held)
        return;
    ss_drafts_bind(held, fileno(stream));
    remember(stream, held);
}

/* Out of the stream's way, whose number has to be the lowest that is free. Gives up fd; *held is its draft, if it is of
 * one. Returns a hidden descriptor or -errno. */
static int put_aside(int fd, struct ss_held **held)
{
    SS_INSIDE;
    *held = ss_drafts_part(fd);
    return ss_self_hide_fd(fd);
}

/* stream: opened by it, or NULL. */
static void take_over(FILE *stream, int aside, struct ss_held *held)
{
    SS_INSIDE;
    if (stream && held) {
        ss_drafts_bind(held, fileno(stream));
        remember(stream, held);
    }
    if (aside >= 0)
        close(aside);
    if (!stream && held)
        ss_ending_closed(held, 0);
    if (held)
        ss_drafts_put(held);
}

/* The C library opens by a name that leads to the very file that we opened: so all that its modes mean is as ever. */
static FILE *open_stream(const char *path, const char *mode)
{
    char link[32], again[32];
    struct ss_held *held;
    FILE *stream = NULL;

    if (is_plain(path, mode))
        return ss_real()->fopen(path, mode);
    int fd = ss_begin_open(AT_FDCWD, path, flags_of(mode), 0666);
    if (fd < 0)
        return NULL;
    int aside = put_aside(fd, &held);
    snprintf(link, sizeof link, "/proc/self/fd/%d", aside);
    without_exclusion(mode, again, sizeof again);
    if (aside >= 0)
        stream = ss_real()->fopen(link, again);
    int error = aside < 0 ? -aside : errno;
    take_over(stream, aside, held);
    errno = error;
    return stream;
}

SS_EXPORT FILE *fopen(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

SS_EXPORT FILE *fopen64(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

/* A stream on what the program has opened itself. */
SS_EXPORT FILE *fdopen(int fd, const char *mode)
{
    FILE *stream = ss_real()->fdopen(fd, mode);

    if (!stream || !ss_fd_is_ours(fd) || ss_fd_is_hidden(fd) || ss_inside() || !ss_self_may_remember())
        return stream;
    SS_INSIDE;
    SS_AUTO_PUT struct ss_held *held = ss_drafts_of_fd(fd);
    if (held)
        remember(stream, held);
    return stream;
}

/* A stream's draft, before the C library closes its file: afterwards the number may be another thread's already. */
static struct ss_held *take_file(FILE *stream, int *fd)
{
    int saved = errno;
    *fd = fileno(stream);
    errno = saved;
    if (!ss_fd_is_ours(*fd) && !ss_streams_any())
        return NULL; /* as a rule: asks the kernel nothing */
    if (!ss_active || ss_inside() || !ss_self_may_remember())
        return NULL;
    if (!ss_fd_is_ours(*fd)) {
        ss_streams_remove(stream); /* perhaps the program has closed its file below it */
        return NULL;
    }
    SS_INSIDE;
    struct ss_held *held =
        ss_drafts_part(*fd); /* first: a stream that nobody flushes at exit(0) must not be published */
    ss_streams_remove(stream);
    return held;
}

SS_EXPORT int fclose(FILE *stream)
{
    int fd;

    struct ss_held *held = take_file(stream, &fd);
    int r = ss_real()->fclose(stream);
    if (!held)
        return r;
    int error = r < 0 ? -errno : 0;
    SS_INSIDE;
    error = ss_ending_closed(held, error);
    ss_drafts_put(held);
    if (error < 0)
        errno = -error;
    return error < 0 ? EOF : 0;
}

/* The C library opens by a name that leads to the very file that we opened. */
static FILE *reopen_protected(const char *path, const char *mode, FILE *stream)
{
    char link[32] = "", again[32];

    int fd = ss_begin_open(AT_FDCWD, path, flags_of(mode), 0666);
    int error = errno;
    if (fd >= 0)
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    without_exclusion(mode, again, sizeof again);
    FILE *made = ss_real()->freopen(link, again, stream); /* without a name it fails, and the stream is closed, too */
    if (fd < 0) {
        errno = error;
        return made;
    }
    error = errno;
    if (made)
        adopt_stream(made, fd);
    SS_HOOK(close(fd));
    errno = error;
    return made;
}

static FILE *reopen_any(const char *path, const char *mode, FILE *stream)
{
    return is_plain(path, mode) ? ss_real()->freopen(path, mode, stream) : reopen_protected(path, mode, stream);
}

static FILE *reopen_stream(const char *path, const char *mode, FILE *stream)
{
    int old;

    if (!ss_active || ss_inside())
        return ss_real()->freopen(path, mode, stream);
    struct ss_held *held = take_file(stream, &old);
    if (held && !path) { /* the same file, with another mode */
        FILE *same = ss_real()->freopen(NULL, mode, stream);
        int error = errno;
        SS_INSIDE;
        if (same)
            ss_drafts_bind(held, fileno(same));
        if (same)
            remember(same, held);
        else
            ss_ending_closed(held, 0);
        ss_drafts_put(held);
        errno = error;
        return same;
    }
    if (held) { /* what is in its buffer is the draft's */
        int flushed = fflush(stream) < 0 ? -errno : 0;
        FILE *made = reopen_any(path, mode, stream);
        int error = errno;
        SS_INSIDE;
        ss_ending_closed(held, flushed);
        ss_drafts_put(held);
        errno = error;
        return made;
    }
    return reopen_any(path, mode, stream);
}

SS_EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    return reopen_stream(path, mode, stream);
}

SS_EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    return reopen_stream(path, mode, stream);
}

/* --- temporary files --- */

#define TRIES 100

/* As the C library does it, but by our open. */
static int make_temporary(char *template, int suffix, int flags)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(template);
    unsigned char random[6];

    if (!ss_active || ss_inside() || !ss_begin_concerns(template))
        return ss_real()->mkostemps(template, suffix, flags);
    if (suffix < 0 || len < (size_t)suffix + 6 || strncmp(template + len - (size_t)suffix - 6, "XXXXXX", 6) != 0) {
        errno = EINVAL;
        return -1;
    }
    char *place = template + len - (size_t)suffix - 6;
    for (int i = 0; i < TRIES; i++) {
        if (getrandom(random, sizeof random, 0) != sizeof random)
            return -1;
        for (size_t j = 0; j < sizeof random; j++)
            place[j] = letters[random[j] % (sizeof letters - 1)];
        int fd = SS_HOOK(open(template, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600));
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

#define TEMPORARY(name, parameters, suffix, flags)                                                                     \
    SS_EXPORT int name parameters;                                                                                     \
    SS_EXPORT int name parameters                                                                                      \
    {                                                                                                                  \
        return make_temporary(template, suffix, flags);                                                                \
    }

TEMPORARY(mkstemp, (char *template), 0, 0)
TEMPORARY(mkstemp64, (char *template), 0, 0)
TEMPORARY(mkstemps, (char *template, int suffix), suffix, 0)
TEMPORARY(mkstemps64, (char *template, int suffix), suffix, 0)
TEMPORARY(mkostemp, (char *template, int flags), 0, flags)
TEMPORARY(mkostemp64, (char *template, int flags), 0, flags)
TEMPORARY(mkostemps, (char *template, int suffix, int flags), suffix, flags)
TEMPORARY(mkostemps64, (char *template, int suffix, int flags), suffix, flags)
