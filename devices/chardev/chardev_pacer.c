/* chardev_pacer.c: one call on the loop thread for many requests; see chardev.h. */
#include <stdlib.h>

#include "chardev.h"

#define PACE_MS 2

struct chardev_pacer {
    lunik_runtime *rt;
    void (*fn)(void *opaque);
    void *opaque;
    lunik_task task;
    uv_timer_t timer;
    bool poked;
    uint64_t last; /* when fn was called, in ms of the loop */
};

static void call(struct chardev_pacer *p)
{
    p->poked = false;
    p->last = uv_now(p->timer.loop);
    p->fn(p->opaque);
}

static void timer_fired(uv_timer_t *timer)
{
    call(lunik_container_of(timer, struct chardev_pacer, timer));
}

static void run_task(lunik_task *task)
{
    struct chardev_pacer *p = lunik_container_of(task, struct chardev_pacer, task);
    uint64_t since = uv_now(p->timer.loop) - p->last;

    if (since >= PACE_MS)
        call(p);
    else
        uv_timer_start(&p->timer, timer_fired, PACE_MS - since, 0);
}

void chardev_pacer_poke(struct chardev_pacer *pacer)
{
    if (pacer->poked)
        return;
    pacer->poked = true;
    lunik_defer(pacer->rt, &pacer->task);
}

bool chardev_pacer_hurry(struct chardev_pacer *pacer)
{
    if (!pacer->poked)
        return false;
    lunik_defer_cancel(pacer->rt, &pacer->task);
    lunik_loop(pacer->rt);
    uv_timer_stop(&pacer->timer);
    call(pacer);
    return true;
}

int chardev_pacer_open(struct chardev_pacer **pacer, struct chardev *c, void (*fn)(void *opaque),
                       void *opaque, lunik_error *err)
{
    struct chardev_pacer *p = calloc(1, sizeof(*p));

    if (!p)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for a timer",
                          lunik_object_type_name(lunik_state_object(c)));
    p->rt = chardev_runtime(c);
    p->fn = fn;
    p->opaque = opaque;
    p->task.fn = run_task;
    uv_timer_init(lunik_loop(p->rt), &p->timer);
    uv_unref((uv_handle_t *)&p->timer);
    *pacer = p;
    return 0;
}

static void timer_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_timer_t *)handle, struct chardev_pacer, timer));
}

void chardev_pacer_close(struct chardev_pacer **pacer)
{
    struct chardev_pacer *p = *pacer;

    if (!p)
        return;
    *pacer = NULL;
    lunik_defer_cancel(p->rt, &p->task);
    lunik_loop(p->rt);
    uv_close((uv_handle_t *)&p->timer, timer_closed);
}
