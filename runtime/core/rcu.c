/* rcu.c: reader state of threads, and what they wait for. */
#include "rcu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "reclaimer.h"

#ifdef RUNTIME_TSAN
char rcu_tsan_token;
#endif

static __thread unsigned online_depth;
static __thread bool registered;
static _Atomic unsigned readers; /* threads that are registered */

/* Its destructor unregisters threads that end without rcu_thread_done(), e.g. an embedder's. */
static pthread_key_t exit_key;
static bool have_exit_key; /* false if the process has used up its thread keys */
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

static void at_thread_exit(void *unused)
{
    rcu_thread_done();
}

static void make_exit_key(void)
{
    have_exit_key = !pthread_key_create(&exit_key, at_thread_exit);
}

static void become_reader(void)
{
    if (!registered) {
        pthread_once(&exit_key_once, make_exit_key);
        if (have_exit_key)
            pthread_setspecific(exit_key, &registered);
        urcu_memb_register_thread();
        registered = true;
        readers++;
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

bool rcu_nested(void)
{
    return online_depth > 1;
}

void rcu_thread_done(void)
{
    if (!registered)
        return;
    if (online_depth)
        stop_reading();
    urcu_memb_unregister_thread();
    registered = false;
    readers--;
    online_depth = 0;
}

bool rcu_has_other_readers(void)
{
    return readers != registered;
}

/* ---- waiting -------------------------------------------------------------------------------- */

bool rcu_wait(unsigned ms)
{
    bool done;

    if (rcu_nested())
        return false; /* it would wait for this thread */
    if (online_depth)
        stop_reading();
    done = reclaimers_wait(ms);
    if (online_depth)
        urcu_memb_read_lock();
    return done;
}

void rcu_drain(void)
{
    if (online_depth)
        stop_reading();
    reclaimers_drain();
    if (online_depth)
        urcu_memb_read_lock();
}

bool rcu_is_shortage(int sys)
{
    return sys == ENOMEM || sys == EMFILE || sys == ENFILE;
}

bool rcu_shortage_over(int sys)
{
    bool over = rcu_is_shortage(sys) && rcu_wait(RCU_SHORTAGE_MS);

    errno = sys;
    return over;
}
