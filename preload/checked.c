/* Only in the library that tests use (meson.build: the compiler calls us at the beginning of every function): ends the
 * process when our own code calls one of our hooks by its name outside the guard. It would take our own files for the
 * program's. */
#include <dlfcn.h>
#include <stdbool.h>

#include "inside.h"
#include "self.h"

#define UNSEEN __attribute__((no_instrument_function))

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* of the linker: where the library begins */
extern const char etext[] __attribute__((visibility("hidden")));        /* and where its code ends */

_Thread_local bool ss_on_purpose __attribute__((tls_model("initial-exec")));

UNSEEN static bool is_ours(const void *address)
{
    return (const char *)address >= __ehdr_start && (const char *)address < etext;
}

UNSEEN static const char *hook_name(void *function)
{
    Dl_info info;
    return dladdr(function, &info) && info.dli_saddr == function ? info.dli_sname : NULL;
}

UNSEEN void __cyg_profile_func_enter(void *function, void *caller);
UNSEEN void __cyg_profile_func_enter(void *function, void *caller)
{
    if (ss_inside_depth > 0 || !is_ours(caller))
        return;
    ss_inside_depth++;
    const char *name = hook_name(function);
    bool wrong = name && !ss_on_purpose;
    if (name)
        ss_on_purpose = false;
    if (wrong) {
        ss_self_complain("checked: %s is called unguarded, at %#lx of the library", name,
                         (unsigned long)((const char *)caller - __ehdr_start));
        __builtin_trap();
    }
    ss_inside_depth--;
}

UNSEEN void __cyg_profile_func_exit(void *function, void *caller);
UNSEEN void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)function;
    (void)caller;
}
