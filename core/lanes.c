#include "lanes.h"

#define NO_COMPAT_IMB_API_053 1 /* its old names clash with those of OpenSSL */
#include <intel-ipsec-mb.h>

#include "hasher.h"

static IMB_MGR *manager_of(struct ss_lanes *lanes)
{
    return (IMB_MGR *)(void *)lanes;
}

static bool has_all(uint64_t features, uint64_t flags)
{
    return (features & flags) == flags;
}

/* 16 lanes, SHA instructions for two at a time, or 8 lanes; else NULL. Not init_mb_mgr_auto: it asks the processor and
 * not the kernel, which may keep registers to itself (the compiler's function knows), and prefers 8 lanes to SHA
 * instructions, which are faster. */
static void (*best_way(void))(IMB_MGR *)
{
    const uint64_t features = imb_get_feature_flags(); /* asks the processor: slow in a virtual machine */

    if (has_all(features, IMB_CPUFLAGS_AVX512) && __builtin_cpu_supports("avx512f"))
        return init_mb_mgr_avx512;
    if (has_all(features, IMB_CPUFLAGS_SSE_T2))
        return init_mb_mgr_sse;
    if (has_all(features, IMB_CPUFLAGS_AVX2) && __builtin_cpu_supports("avx2"))
        return init_mb_mgr_avx2;
    return NULL;
}

static struct ss_lanes *open_lanes(void)
{
    void (*init)(IMB_MGR *) = best_way();
    IMB_MGR *manager = init ? alloc_mb_mgr(0) : NULL;

    if (!manager)
        return NULL;
    init(manager);
    if (imb_get_errno(manager) != 0) {
        free_mb_mgr(manager);
        return NULL;
    }
    return (struct ss_lanes *)(void *)manager;
}

static void close_lanes(struct ss_lanes *lanes)
{
    if (lanes)
        free_mb_mgr(manager_of(lanes));
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
        done += is_done(submit(manager_of(lanes), &jobs[i], len));
    while ((last = IMB_FLUSH_JOB(manager_of(lanes))))
        done += is_done(last);
    return done == count;
}

const struct ss_lanes_functions ss_lanes_of_ipsec_mb = {.open = open_lanes, .close = close_lanes, .digest = digest};
