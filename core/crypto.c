#include "crypto.h"

const struct ss_crypto *ss_crypto(void)
{
#define ADDRESS(name) .name = (name),
    static const struct ss_crypto linked = {SS_CRYPTO_FUNCTIONS(ADDRESS)};
#undef ADDRESS

    return &linked;
}
