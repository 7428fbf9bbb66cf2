/* The parties of a save: the processes that closed it themselves, so that how they end is yet to be seen. They are its
 * creator and those who wrote, and whoever closed it last if he is none of these. Each is held by a pidfd that was
 * opened while its FLUSH was held, so that a reused number is never taken for it. (Who is closed by the kernel at his
 * end is no party: that FLUSH has told how he ended.)
 *
 * All state is in the save's record. Thread-safe; where it says "with state held", the caller holds save.state. */
#ifndef SAVESEAL_FUSE_PARTY_H
#define SAVESEAL_FUSE_PARTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/proc.h"

#define SS_PARTIES_MAX 20

struct ss_fs;
struct ss_save;

struct ss_party {
    _Atomic pid_t pid; /* 0: free; written last when it is taken, first when it is freed */
    int pidfd;
};

/* Guarded by save.state. */
struct ss_parties {
    struct ss_party heir; /* who closed last without having opened or written */
    struct ss_party list[SS_PARTIES_MAX];
};

/* At a FLUSH for writing: whoever is closing it, if he goes on, becomes a party. Beyond SS_PARTIES_MAX that live at the
 * same time, and where no pidfd can be had, he is believed. */
void ss_party_note(struct ss_fs *fs, struct ss_save *save, const struct ss_proc_close *how);

/* With state held: is there any? */
bool ss_party_any(const struct ss_save *save);

/* Looks how those have ended that have: a bad end spoils the save, a good one is forgotten. final: also how those end
 * that are only just exiting. Returns how many live. Reads /proc: no lock may be held. */
uint32_t ss_party_judge(struct ss_save *save, bool final);

/* Is one that lives at work (ss_proc_is_busy)? Then its end may be near. Reads /proc: no lock may be held. */
bool ss_party_is_busy(struct ss_save *save);

/* Has epoll report data once for each that ends; unwatch takes that back. Takes state. */
void ss_party_watch(struct ss_save *save, int epoll, uint64_t data);
void ss_party_unwatch(struct ss_save *save, int epoll);

/* Calls visit for each pidfd. */
void ss_party_each_fd(const struct ss_save *save, void (*visit)(void *context, int fd), void *context);

/* Lets all of them go, when the save is freed: closes their pidfds, which is quick. */
void ss_party_close(struct ss_save *save);

#endif
