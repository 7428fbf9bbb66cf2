#include "crypto.h"

const struct ss_crypto *ss_crypto(void)
{
#define ADDRESS(name) .name = (name),
    static const struct ss_crypto linked = {
        SS_CRYPTO_FUNCTIONS(ADDRESS)
#ifdef SAVESEAL_LANES
            .lanes = &SAVESEAL_LANES,
#endif
    };
#undef ADDRESS

    return &linked;
}
