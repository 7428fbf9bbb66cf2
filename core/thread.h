/* Threads of ours in processes of others. */
#ifndef SAVESEAL_CORE_THREAD_H
#define SAVESEAL_CORE_THREAD_H

#include <pthread.h>

/* As pthread_create, with all signals blocked: the handlers of the program around us must not run in threads that it
 * does not know. Returns 0 or -errno. */
int ss_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
