/* rcu.c: reader state of threads, and the reclaimer. */
#include "rcu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef RUNTIME_TSAN
char rcu_tsan_token;
#endif

static __thread unsigned online_depth;
static __thread bool registered;

/* Its destructor unregisters threads that end without saying so, e.g. an embedder's. */
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void at_thread_exit(void *unused)
{
    rcu_thread_done();
}

static void make_exit_key(void)
{
    pthread_key_create(&exit_key, at_thread_exit);
}

static void become_reader(void)
{
    if (!registered) {
        pthread_once(&exit_key_once, make_exit_key);
        pthread_setspecific(exit_key, &registered);
        urcu_memb_register_thread();
        registered = true;
    }
    urcu_memb_read_lock();
}

static void stop_reading(void)
{
    rcu_note_reader_done();
    urcu_memb_read_unlock();
}

void rcu_online(void)
{
    if (!online_depth++)
        become_reader();
}

void rcu_offline(void)
{
    if (!--online_depth)
        stop_reading();
}

void rcu_checkpoint(void)
{
    if (online_depth != 1)
        return;
    stop_reading();
    urcu_memb_read_lock();
}

void rcu_thread_done(void)
{
    if (!registered)
        return;
    if (online_depth)
        stop_reading();
    urcu_memb_unregister_thread();
    registered = false;
    online_depth = 0;
}

void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    /* call_rcu wants a registered caller. */
    rcu_online();
    rcu_note_reader_done();
    urcu_memb_call_rcu(head, fn);
    rcu_offline();
}

void rcu_drain(void)
{
    if (online_depth)
        stop_reading();
    urcu_memb_barrier();
    if (online_depth)
        urcu_memb_read_lock();
}
