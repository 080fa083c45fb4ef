/* turn.c: one thread at a time changes the run state of a machine. */
#include "turn.h"

#include "runtime.h"

static __thread unsigned turns; /* of any machine, that the calling thread has */

void turn_init(struct turn *t)
{
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->ended, NULL);
}

void turn_destroy(struct turn *t)
{
    pthread_cond_destroy(&t->ended);
    pthread_mutex_destroy(&t->mutex);
}

bool turn_mine(const lunik_machine *m)
{
    return m->turn.depth && pthread_equal(m->turn.owner, pthread_self());
}

bool turn_any(void)
{
    return turns;
}

/* Waits until the present turn is over; another thread may take the next one first. */
static void wait_for_end(lunik_machine *m)
{
    struct turn *t = &m->turn;
    uint64_t seen = t->over;

    lunik_unlock(m->rt);
    pthread_mutex_lock(&t->mutex);
    while (t->over == seen)
        pthread_cond_wait(&t->ended, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
    lunik_lock(m->rt);
}

static void leave(lunik_machine *m)
{
    runtime_leave(m->rt);
    lunik_machine_unref(m);
}

int turn_take(lunik_machine *m, lunik_error *err)
{
    struct turn *t = &m->turn;
    int rc = 0;

    lunik_machine_ref(m);
    runtime_enter(m->rt);
    while (!rc && t->depth && !turn_mine(m)) {
        if (turn_any() || lunik_vcpu_current())
            rc = lunik_fail(err, LUNIK_E_STATE,
                            "machine '%s' is just being started, paused, reset or closed", m->name);
        else
            wait_for_end(m);
    }
    if (!rc && lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        rc = machine_fail_closed(m, err);
    if (rc) {
        leave(m);
        return rc;
    }
    t->owner = pthread_self();
    t->depth++;
    turns++;
    return 0;
}

void turn_end(lunik_machine *m)
{
    struct turn *t = &m->turn;

    turns--;
    if (!--t->depth) {
        pthread_mutex_lock(&t->mutex);
        t->over++;
        pthread_cond_broadcast(&t->ended);
        pthread_mutex_unlock(&t->mutex);
    }
    leave(m);
}
