/* drains.c: waiting for reports of devices that finish what is in flight; see drains.h. */
#include "drains.h"

#include <stdlib.h>
#include <time.h>

#include "monotonic.h"
#include "runtime.h"

/* The uv handle outlives the machine until its close callback. */
struct drain_alarm {
    uv_timer_t timer;
    lunik_machine *machine;
    uint64_t until; /* UINT64_MAX: not set */
};

void drains_init(lunik_machine *m)
{
    struct drains *d = &m->drains;

    TAILQ_INIT(&d->list);
    pthread_mutex_init(&d->mutex, NULL);
    monotonic_cond_init(&d->changed);
}

void drains_destroy(lunik_machine *m)
{
    pthread_cond_destroy(&m->drains.changed);
    pthread_mutex_destroy(&m->drains.mutex);
}

static void alarm_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_timer_t *)handle, struct drain_alarm, timer));
}

void drains_close(lunik_machine *m)
{
    struct drains *d = &m->drains;

    pthread_mutex_lock(&d->mutex);
    d->closed = true;
    pthread_mutex_unlock(&d->mutex);
    if (!d->alarm)
        return;
    lunik_loop(m->rt);
    uv_close((uv_handle_t *)&d->alarm->timer, alarm_closed);
    d->alarm = NULL;
}

/* ---- reports -------------------------------------------------------------------------------- */

void drains_changed(lunik_machine *m)
{
    struct drains *d = &m->drains;

    pthread_mutex_lock(&d->mutex);
    d->changes++;
    pthread_cond_broadcast(&d->changed);
    if (!d->closed)
        lunik_defer(m->rt, &m->work);
    pthread_mutex_unlock(&d->mutex);
}

uint64_t drains_seen(lunik_machine *m)
{
    struct drains *d = &m->drains;
    uint64_t changes;

    pthread_mutex_lock(&d->mutex);
    changes = d->changes;
    pthread_mutex_unlock(&d->mutex);
    return changes;
}

void drains_wait(lunik_machine *m, uint64_t seen, uint64_t until)
{
    struct drains *d = &m->drains;
    const struct timespec end = monotonic_timespec(until);
    int rc = 0;

    lunik_unlock(m->rt);
    pthread_mutex_lock(&d->mutex);
    while (d->changes == seen && !rc)
        rc = pthread_cond_timedwait(&d->changed, &d->mutex, &end);
    pthread_mutex_unlock(&d->mutex);
    lunik_lock(m->rt);
}

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t drains_until(const lunik_machine *m)
{
    return monotonic_ns() + (uint64_t)m->config.drain_timeout * NS_PER_MS;
}

int drains_make_alarm(lunik_machine *m, lunik_error *err)
{
    struct drain_alarm *alarm;

    if (m->drains.alarm)
        return 0;
    alarm = calloc(1, sizeof(*alarm));
    if (!alarm)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    alarm->machine = m;
    alarm->until = UINT64_MAX;
    uv_timer_init(lunik_loop(m->rt), &alarm->timer);
    m->drains.alarm = alarm;
    return 0;
}

static void alarm_rings(uv_timer_t *timer)
{
    struct drain_alarm *alarm = lunik_container_of(timer, struct drain_alarm, timer);

    alarm->until = UINT64_MAX;
    lunik_defer(alarm->machine->rt, &alarm->machine->work);
}

/* libuv counts milliseconds from the time at which it last read the clock, so the alarm may be
 * early; the loop thread then sets it again. */
void drains_alarm(lunik_machine *m, uint64_t until)
{
    struct drain_alarm *alarm = m->drains.alarm;
    uint64_t now = monotonic_ns();

    if (!alarm || until == alarm->until)
        return;
    alarm->until = until;
    lunik_loop(m->rt);
    if (until == UINT64_MAX)
        uv_timer_stop(&alarm->timer);
    else
        uv_timer_start(&alarm->timer, alarm_rings,
                       until > now ? (until - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
}
