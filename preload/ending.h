/* How descriptors of drafts are closed, and how a process ends: what it has open at exit(0) counts as closed. */
#ifndef SAVESEAL_PRELOAD_ENDING_H
#define SAVESEAL_PRELOAD_ENDING_H

/* 0 or -errno. */
int ss_ending_init(void);

struct ss_held;

/* A descriptor of the draft was closed, by a call that returned error (0 or -errno), and is unbound: judges the draft,
 * or notes that it is to be judged later. Returns what close() has to say: 0 or -errno. Keeps
 * errno. */
int ss_ending_closed(struct ss_held *held, int error);

/* close() of a descriptor that may be a draft's. As close. */
int ss_ending_close(int fd);

/* A descriptor of a draft was closed by a signal handler whose thread is inside a hook: to be looked at by that. */
void ss_ending_missed(void);

/* A mapping of this process has gone, perhaps the last that a draft was written through. */
void ss_ending_unmapped(void);

/* Looks again at what this process closed when others still had it open. */
void ss_ending_look(void);

/* A child of this process has ended, with that status of wait(2). */
void ss_ending_of_child(int status);

/* The process ends now, with that status, by _exit. */
void ss_ending_exit(int status);

/* quick_exit was called with that status. */
void ss_ending_quickly(int status);

#endif
