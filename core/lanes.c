#include "lanes.h"

#define NO_COMPAT_IMB_API_053 1 /* its old names clash with those of OpenSSL */
#include <intel-ipsec-mb.h>

#include "hasher.h"

static IMB_MGR *manager(struct ss_lanes *lanes)
{
    return (IMB_MGR *)(void *)lanes;
}

static struct ss_lanes *open_lanes(void)
{
    IMB_MGR *manager = alloc_mb_mgr(0);

    if (!manager)
        return NULL;
    init_mb_mgr_auto(manager, NULL); /* for the best registers that this processor has */
    if (imb_get_errno(manager) != 0) {
        free_mb_mgr(manager);
        return NULL;
    }
    return (struct ss_lanes *)(void *)manager;
}

static void close_lanes(struct ss_lanes *lanes)
{
    if (lanes)
        free_mb_mgr(manager(lanes));
}

/* What comes back is another job, or none while there are lanes free. */
static IMB_JOB *submit(IMB_MGR *manager, const struct ss_hasher_job *job, size_t len)
{
    IMB_JOB *next = IMB_GET_NEXT_JOB(manager);

    *next = (IMB_JOB){
        .chain_order = IMB_ORDER_HASH_CIPHER,
        .cipher_mode = IMB_CIPHER_NULL,
        .hash_alg = IMB_AUTH_SHA_256,
        .src = job->bytes,
        .msg_len_to_hash_in_bytes = len,
        .auth_tag_output = job->digest->bytes,
        .auth_tag_output_len_in_bytes = SS_SHA256_SIZE,
    };
    return IMB_SUBMIT_JOB(manager);
}

static bool is_done(const IMB_JOB *job)
{
    return job && job->status == IMB_STATUS_COMPLETED;
}

static bool digest(struct ss_lanes *lanes, const struct ss_hasher_job *jobs, size_t count, size_t len)
{
    size_t done = 0;
    IMB_JOB *last;

    for (size_t i = 0; i < count; i++)
        done += is_done(submit(manager(lanes), &jobs[i], len));
    while ((last = IMB_FLUSH_JOB(manager(lanes))))
        done += is_done(last);
    return done == count;
}

const struct ss_lanes_functions ss_lanes_of_ipsec_mb = {.open = open_lanes, .close = close_lanes, .digest = digest};
