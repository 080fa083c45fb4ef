/*
 * own_thread.h: the runtime's threads for devices (iothreads, slow work). A process that enters a
 * sandbox has them stand still meanwhile, and each of them take its part in it.
 */
#ifndef CORE_OWN_THREAD_H
#define CORE_OWN_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

/* The creator fills in the first part, and keeps the struct until `ended` is called, or, where that
 * is NULL, until own_thread_wait() has returned. */
struct own_thread {
    const char *name; /* at most 15 characters */
    void (*run)(struct own_thread *t);
    /* Has it call own_thread_pass() soon. Any thread. NULL: it does so anyway. */
    void (*nudge)(struct own_thread *t);
    /* Called on the thread when the runtime does not use it any more; may be NULL. */
    void (*ended)(struct own_thread *t);
    /* Private from here on. */
    LIST_ENTRY(own_thread) link;
    int tid; /* 0: does not run yet */
    bool running;
    unsigned errand; /* the last one that it has done */
};

/* Starts a thread, which inherits the sandbox of the caller: not to be called on a vCPU's thread,
 * whose sandbox is tighter. Returns errno or 0; then t->tid is its number. */
int own_thread_start(struct own_thread *t);
/* Until it has ended. Without the machine lock, unless run() is about to return. */
void own_thread_wait(struct own_thread *t);
/* On the thread, with no lock held: stands still here while that is wanted. */
void own_thread_pass(struct own_thread *t);

/* Has all of them stand still, and no more start. Returns how many have not come to
 * own_thread_pass() within ms milliseconds; if that is not 0 they all go on. */
unsigned own_threads_stop(unsigned ms);
/* While they stand still. */
unsigned own_threads_count(void);
/* Each of them calls fn, which returns errno or 0. Returns the last result that is not 0. */
int own_threads_call(int (*fn)(const void *arg), const void *arg);
void own_threads_go(void);
/* One has ended, which the kernel may still list. */
bool own_threads_have_ended(void);

#endif
