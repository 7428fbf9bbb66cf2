/* Descriptors that come through a socket may be drafts'. */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "drafts.h"
#include "inside.h"
#include "readable.h"
#include "real.h"
#include "self.h"

typedef void use_descriptor(int fd);

static void for_each_descriptor(struct msghdr *message, use_descriptor *use)
{
    for (struct cmsghdr *control = message->msg_control ? CMSG_FIRSTHDR(message) : NULL; control;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS || control->cmsg_len < CMSG_LEN(0) ||
            control->cmsg_len > message->msg_controllen)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
            use(fd);
        }
    }
}

static bool may_look(void)
{
    return ss_active && !ss_inside() && ss_self_may_remember();
}

SS_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t n = ss_real()->recvmsg(fd, message, flags);

    if (n >= 0 && message->msg_controllen > 0 && may_look()) {
        SS_INSIDE;
        for_each_descriptor(message, ss_drafts_recognise);
    }
    return n;
}

SS_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    int n = ss_real()->recvmmsg(fd, messages, count, flags, timeout);

    for (int i = 0; i < n && may_look(); i++) {
        SS_INSIDE;
        if (messages[i].msg_hdr.msg_controllen > 0)
            for_each_descriptor(&messages[i].msg_hdr, ss_drafts_recognise);
    }
    return n;
}

/* Whoever gets it may write; see judge.h. */
static void note_sent(const struct msghdr *message)
{
    if (!ss_drafts_any() || !may_look() || !ss_readable(message, sizeof *message) || message->msg_controllen == 0 ||
        !ss_readable(message->msg_control, message->msg_controllen))
        return;
    SS_INSIDE;
    struct msghdr copy = *message;
    for_each_descriptor(&copy, ss_drafts_send);
}

SS_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    note_sent(message);
    return ss_real()->sendmsg(fd, message, flags);
}

SS_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; ss_drafts_any() && i < count && i < UIO_MAXIOV; i++)
        note_sent(&messages[i].msg_hdr);
    return ss_real()->sendmmsg(fd, messages, count, flags);
}
