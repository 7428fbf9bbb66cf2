#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/draft.h"
#include "log.h"
#include "core/seal.h"
#include "core/util.h"

int ss_image_open(const struct ss_node *node)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", node->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* What the seal says about the header; SS_UNSEALED when there is none. Returns 0 or -errno. */
static int check_header(int fd, enum ss_finding *finding)
{
    struct ss_seal seal;

    int r = ss_seal_read(fd, &seal);
    if (r == 0)
        return ss_seal_check_header(fd, &seal, finding);
    if (r == -ENODATA || r == -ENOTSUP)
        *finding = SS_UNSEALED;
    else if (r == -EPROTONOSUPPORT)
        *finding = SS_SEAL_TOO_NEW;
    else if (r == -EBADMSG || r == -E2BIG || r == -ERANGE)
        *finding = SS_SEAL_INVALID;
    else
        return r;
    return 0;
}

static bool trusted(enum ss_finding finding)
{
    return finding == SS_INTACT || finding == SS_UNSEALED;
}

int ss_image_check(struct ss_fs *fs, struct ss_node *node, int fd, enum ss_finding *finding)
{
    enum ss_finding found = SS_INTACT;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    struct ss_stamp now = ss_stamp_of(&st);
    pthread_mutex_lock(&fs->tables);
    bool known = ss_stamp_equal(&node->checked, &now);
    pthread_mutex_unlock(&fs->tables);
    if (known)
        return 0;

    int r = check_header(fd, &found);
    if (r < 0)
        return r;
    if (finding)
        *finding = found;
    if (!trusted(found)) {
        struct ss_key key;
        ss_node_copy_key(fs, node, &key);
        ss_log(LOG_ERR, "%s: %s: %s: open refused; %s", key.name, ss_finding_text(found)->id,
               ss_finding_text(found)->sentence, ss_finding_text(found)->advice);
        return -EIO;
    }
    pthread_mutex_lock(&fs->tables);
    node->checked = now;
    pthread_mutex_unlock(&fs->tables);
    return 0;
}

static int set_aside(int dir, const char *name, int fd, enum ss_finding finding)
{
    struct ss_draft_record record = {.state = SS_DRAFT_INTERRUPTED, .reason = finding};
    char draft[SS_DRAFT_NAME_SIZE];

    ss_draft_describe_writer(&record, 0, 0);
    snprintf(record.target, sizeof record.target, "%s", name);
    snprintf(record.detail, sizeof record.detail, "unlinked, but its header had failed the check");
    int r = ss_draft_set_aside(dir, fd, &record, draft);
    if (r == 0)
        ss_log(LOG_WARNING, "%s: %s: not deleted but set aside as a hidden draft, %s", name,
               ss_finding_text(finding)->id, draft);
    return r;
}

int ss_image_unlink(int dir, const char *name)
{
    enum ss_finding finding;

    SS_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && check_header(fd, &finding) == 0 && !trusted(finding))
        return set_aside(dir, name, fd, finding);
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}
