/*
 * user_round.c: what a user-mode network does on its thread: functions for libslirp, and rounds;
 * see netdev_user.c.
 */
#ifdef LUNIK_SLIRP
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "netdev_user.h"

enum { EVENTS_AT_ONCE = 64, LONGEST_WAIT_MS = 1000 };

static struct user_net *of(struct netdev *n)
{
    return lunik_container_of(n, struct user_net, base);
}

/* ---- to the card ---------------------------------------------------------------------------- */

static void deliver(struct user_net *s)
{
    const uint8_t *frame;
    unsigned queue;
    size_t size;

    while ((frame = net_queue_first(&s->waiting, &queue, &size)) &&
           netdev_receive(&s->base, queue, frame, size))
        net_queue_drop(&s->waiting);
    netdev_received(&s->base, 0);
}

void user_resume(struct netdev *n, unsigned queue)
{
    struct user_net *s = of(n);

    if (s->waiting.first)
        deliver(s);
}

/* ---- functions for libslirp ----------------------------------------------------------------- */

static ssize_t take_packet(const void *data, size_t size, void *opaque)
{
    struct user_net *s = opaque;
    struct iovec iov = {(void *)data, size};

    if (size > NETDEV_FRAME_MAX || !net_queue_add(&s->waiting, 0, &iov, 1))
        netdev_drop(&s->base);
    return (ssize_t)size;
}

static void guest_error(const char *message, void *opaque)
{
    struct user_net *s = opaque;

    netdev_drop(&s->base);
}

static int64_t now_ns(void *opaque)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
    struct user_net *s = opaque;
    struct user_timer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct user_timer){fn, fn_opaque, INT64_MAX, s->timers};
    s->timers = t;
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct user_net *s = opaque;
    struct user_timer **link = &s->timers;

    while (*link && *link != timer)
        link = &(*link)->next;
    if (*link)
        *link = (*link)->next;
    free(timer);
}

static void timer_mod(void *timer, int64_t due, void *opaque)
{
    struct user_timer *t = timer;

    if (t)
        t->due = due;
}

/* A descriptor is new, or goes: the epoll instance does not have it. */
static void forget_fd(int fd, void *opaque)
{
    struct user_net *s = opaque;

    if (fd < 0 || fd >= s->room)
        return;
    if (s->watched[fd].events)
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
    s->watched[fd] = (struct watched){0};
}

static void notify(void *opaque)
{
    struct user_net *s = opaque;

    netdev_post(&s->base, &s->round);
}

const SlirpCb user_callbacks = {
    .send_packet = take_packet,
    .guest_error = guest_error,
    .clock_get_ns = now_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = forget_fd,
    .unregister_poll_fd = forget_fd,
    .notify = notify,
};

/* ---- rounds --------------------------------------------------------------------------------- */

static const struct {
    int slirp;
    uint32_t epoll;
} event_pairs[] = {
    {SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
    {SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};
enum { PAIRS = sizeof(event_pairs) / sizeof(event_pairs[0]) };

static bool make_room(struct user_net *s, int fd)
{
    int room = s->room ? s->room : 64;
    struct watched *w;

    while (room <= fd)
        room *= 2;
    if (room == s->room)
        return true;
    w = realloc(s->watched, (size_t)room * sizeof(*w));
    if (!w)
        return false;
    memset(w + s->room, 0, (size_t)(room - s->room) * sizeof(*w));
    s->watched = w;
    s->room = room;
    return true;
}

/* libslirp wants fd to be watched; a descriptor is its own index. */
static int add_poll(int fd, int events, void *opaque)
{
    struct user_net *s = opaque;
    struct epoll_event e = {.data.fd = fd};
    struct watched *w;

    if (!make_room(s, fd))
        return -1;
    w = &s->watched[fd];
    w->round = s->rounds;
    if (w->events == events)
        return fd;
    for (unsigned i = 0; i < PAIRS; i++)
        if (events & event_pairs[i].slirp)
            e.events |= event_pairs[i].epoll;
    if (epoll_ctl(s->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e))
        return -1;
    w->events = events;
    return fd;
}

static int ready_events(int index, void *opaque)
{
    const struct user_net *s = opaque;

    return index < 0 || index >= s->room ? 0 : s->watched[index].ready;
}

static void note_ready(struct user_net *s)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(s->epoll, events, EVENTS_AT_ONCE, 0);

    for (int fd = 0; fd < s->room; fd++)
        s->watched[fd].ready = 0;
    for (int i = 0; i < count; i++)
        for (unsigned p = 0; p < PAIRS; p++)
            if (events[i].events & event_pairs[p].epoll)
                s->watched[events[i].data.fd].ready |= event_pairs[p].slirp;
}

static void run_timers(struct user_net *s)
{
    int64_t now = now_ns(s) / 1000000;
    struct user_timer *t;

    do { /* one at a time: its function may free others */
        for (t = s->timers; t && t->due > now; t = t->next)
            ;
        if (t) {
            t->due = INT64_MAX;
            t->fn(t->opaque);
        }
    } while (t);
}

static void on_clock(uv_timer_t *timer);

static void arm_clock(struct user_net *s, uint32_t wait)
{
    int64_t now = now_ns(s) / 1000000;

    for (const struct user_timer *t = s->timers; t; t = t->next)
        if (t->due < now + wait)
            wait = t->due > now ? (uint32_t)(t->due - now) : 0;
    if (wait > LONGEST_WAIT_MS && wait != UINT32_MAX)
        wait = LONGEST_WAIT_MS;
    if (!s->clock)
        return;
    netdev_loop(&s->base);
    if (wait == UINT32_MAX)
        uv_timer_stop(&s->clock->timer);
    else
        uv_timer_start(&s->clock->timer, on_clock, wait, 0);
}

void user_round(struct user_net *s)
{
    uint32_t wait = UINT32_MAX;

    slirp_enter();
    note_ready(s);
    s->lib->pollfds_poll(s->slirp, 0, ready_events, s);
    run_timers(s);
    s->rounds++;
    s->lib->pollfds_fill(s->slirp, &wait, add_poll, s);
    for (int fd = 0; fd < s->room; fd++)
        if (s->watched[fd].events && s->watched[fd].round != s->rounds)
            forget_fd(fd, s);
    slirp_leave();
    arm_clock(s, wait);
    deliver(s);
}

static void on_clock(uv_timer_t *timer)
{
    user_round(lunik_container_of(timer, struct user_clock, timer)->owner);
}

bool user_send(struct netdev *n, unsigned queue, const struct iovec *iov, unsigned count)
{
    struct user_net *s = of(n);
    size_t size = net_iov_size(iov, count);

    if (size > sizeof(s->frame)) {
        netdev_drop(n);
        return true;
    }
    net_iov_copy(s->frame, size, iov, count);
    slirp_enter();
    s->lib->input(s->slirp, s->frame, (int)size);
    slirp_leave();
    netdev_post(n, &s->round);
    return true;
}
#endif
