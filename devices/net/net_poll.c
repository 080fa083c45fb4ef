/* net_poll.c: watches a descriptor on the thread of a back end; see net.h. */
#include <stdlib.h>

#include "net.h"

struct net_poll {
    struct netdev *owner;
    net_poll_fn *fn;
    void *opaque;
    int wanted;
    uv_poll_t poll;
};

static struct net_poll *of(uv_poll_t *poll)
{
    return lunik_container_of(poll, struct net_poll, poll);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct net_poll *p = of(poll);

    p->fn(p->opaque, status ? 0 : events);
}

static void on_closed(uv_handle_t *handle)
{
    free(of((uv_poll_t *)handle));
}

int net_poll_open(struct net_poll **out, struct netdev *n, int fd, net_poll_fn *fn, void *opaque,
                  lunik_error *err)
{
    struct net_poll *p = calloc(1, sizeof(*p));
    const char *type = lunik_object_type_name(netdev_object(n));
    int rc;

    if (!p)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory to watch a descriptor", type);
    p->owner = n;
    p->fn = fn;
    p->opaque = opaque;
    rc = uv_poll_init(netdev_loop(n), &p->poll, fd);
    if (rc) {
        free(p);
        return lunik_fail_errno(err, -rc, "%s: can't watch descriptor %d", type, fd);
    }
    uv_unref((uv_handle_t *)&p->poll);
    *out = p;
    return 0;
}

void net_poll_want(struct net_poll *p, int events)
{
    int rc = 0;

    if (!p || events == p->wanted)
        return;
    netdev_loop(p->owner);
    if (events)
        rc = lunik_poll_start(&p->poll, events, on_ready);
    else
        uv_poll_stop(&p->poll);
    p->wanted = rc ? 0 : events;
    if (rc)
        netdev_error(p->owner, uv_strerror(rc));
}

void net_poll_close(struct net_poll **out)
{
    struct net_poll *p = *out;

    if (!p)
        return;
    *out = NULL;
    netdev_loop(p->owner);
    uv_close((uv_handle_t *)&p->poll, on_closed);
}
