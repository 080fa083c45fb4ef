/*
 * msi_route.c: eventfds whose signals are messages (lunik_msi_route).
 *
 * An open route has a GSI in KVM's table and an irqfd, and KVM takes the signals. In all other
 * cases the loop takes them. A signal stays in the eventfd until one of both takes it, so none is
 * lost while a route changes hands: both look at the eventfd when they begin.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm.h"
#include "core/machine.h"
#include "core/misuse.h"
#include "core/rcu.h"

struct lunik_msi_route {
    lunik_runtime *rt;
    lunik_machine *m; /* NULL: it is closed */
    LIST_ENTRY(lunik_msi_route) link;
    void (*fn)(void *opaque);
    void *opaque;
    int fd;
    unsigned gsi; /* 0: none */
    bool open;    /* msg is set */
    bool irqfd;   /* KVM takes the signals */
    lunik_msi msg;
    uv_poll_t poll;
};

/* ---- the loop takes the signals ------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    lunik_msi_route *r = lunik_container_of(poll, lunik_msi_route, poll);
    uint64_t count;

    if (read(r->fd, &count, sizeof(count)) == sizeof(count))
        r->fn(r->opaque);
}

static void on_closed(uv_handle_t *handle)
{
    lunik_msi_route *r = lunik_container_of((uv_poll_t *)handle, lunik_msi_route, poll);

    close(r->fd);
    free(r);
}

static int watch(lunik_msi_route *r)
{
    lunik_loop(r->rt); /* on a vCPU's thread: wakes the loop at unlock */
    return lunik_poll_start(&r->poll, UV_READABLE, on_readable);
}

static void unwatch(lunik_msi_route *r)
{
    lunik_loop(r->rt);
    uv_poll_stop(&r->poll);
}

/* ---- KVM takes them ------------------------------------------------------------------------- */

const lunik_msi_route *msi_route_next(const lunik_machine *m, const lunik_msi_route *previous,
                                      unsigned *gsi, lunik_msi *msg)
{
    const lunik_msi_route *r = previous ? LIST_NEXT(previous, link) : LIST_FIRST(&m->msi_routes);

    while (r && !r->gsi)
        r = LIST_NEXT(r, link);
    if (r) {
        *gsi = r->gsi;
        *msg = r->msg;
    }
    return r;
}

/* Returns a GSI that no route has; 0: there is none. */
static unsigned free_gsi(const lunik_machine *m)
{
    for (unsigned gsi = LUNIK_GSI_COUNT; gsi < m->kvm->max_routes; gsi++) {
        const lunik_msi_route *r;

        LIST_FOREACH (r, &m->msi_routes, link)
            if (r->gsi == gsi)
                break;
        if (!r)
            return gsi;
    }
    return 0;
}

static int set_irqfd(const lunik_machine *m, const lunik_msi_route *r, unsigned flags)
{
    struct kvm_irqfd arg = {.fd = (uint32_t)r->fd, .gsi = r->gsi, .flags = flags};

    return ioctl(m->kvm->vm_fd, KVM_IRQFD, &arg);
}

/* Has the loop take them. Its watching has been possible before, and so is now. */
static void take_from_kvm(const lunik_machine *m, lunik_msi_route *r)
{
    if (!r->irqfd)
        return;
    set_irqfd(m, r, KVM_IRQFD_FLAG_DEASSIGN);
    r->irqfd = false;
    r->gsi = 0;
    watch(r);
}

/* Has KVM take the signals. Where it can't, the loop goes on to. */
static void give_to_kvm(const lunik_machine *m, lunik_msi_route *r)
{
    if (!m->kvm || !m->kvm->power_on)
        return;
    if (!r->gsi)
        r->gsi = free_gsi(m);
    if (!r->gsi)
        return;
    if (kvm_routes_set(m, NULL) || (!r->irqfd && set_irqfd(m, r, 0) < 0)) {
        take_from_kvm(m, r);
        r->gsi = 0;
        return;
    }
    if (!r->irqfd)
        unwatch(r);
    r->irqfd = true;
}

void msi_routes_open(lunik_machine *m)
{
    lunik_msi_route *r;

    LIST_FOREACH (r, &m->msi_routes, link)
        if (r->open)
            give_to_kvm(m, r);
}

void msi_routes_fini(lunik_machine *m)
{
    lunik_msi_route *r;

    while ((r = LIST_FIRST(&m->msi_routes))) {
        take_from_kvm(m, r);
        unwatch(r);
        LIST_REMOVE(r, link);
        r->m = NULL;
    }
}

/* ---- the interface -------------------------------------------------------------------------- */

static int new_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    return fd < 0 && rcu_shortage_over(errno) ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : fd;
}

int lunik_msi_route_new(lunik_machine *m, void (*fn)(void *opaque), void *opaque,
                        lunik_msi_route **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(fn, err);
    NOT_NULL_OR_FAIL(out, err);

    lunik_msi_route *r;
    int rc;

    if (!m->gsi)
        return machine_fail_closed(m, err);
    r = calloc(1, sizeof(*r));
    if (!r)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "msi: out of memory");
    *r = (lunik_msi_route){.rt = m->rt, .m = m, .fn = fn, .opaque = opaque, .fd = new_eventfd()};
    rc = r->fd < 0 ? -errno : uv_poll_init(lunik_loop(m->rt), &r->poll, r->fd);
    if (rc) {
        rc = lunik_fail_errno(err, -rc, "msi: can't make an eventfd");
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        return rc;
    }
    uv_unref((uv_handle_t *)&r->poll);
    LIST_INSERT_HEAD(&m->msi_routes, r, link);
    rc = watch(r);
    if (rc) {
        lunik_msi_route_free(r);
        return lunik_fail_errno(err, -rc, "msi: can't watch an eventfd");
    }
    *out = r;
    return 0;
}

int lunik_msi_route_fd(const lunik_msi_route *r)
{
    NOT_NULL(r, -1);

    return r->fd;
}

void lunik_msi_route_set(lunik_msi_route *r, const lunik_msi *msg)
{
    NOT_NULL(r);

    if (msg && !msi_is_interrupt(msg))
        msg = NULL; /* KVM would take it for one */

    bool same = msg && r->open && msg->address == r->msg.address && msg->data == r->msg.data;

    if (!r->m || same)
        return;
    r->open = msg != NULL;
    if (msg)
        r->msg = *msg;
    if (msg)
        give_to_kvm(r->m, r);
    else
        take_from_kvm(r->m, r);
}

void lunik_msi_route_free(lunik_msi_route *r)
{
    if (!r)
        return;
    if (r->m) {
        take_from_kvm(r->m, r);
        LIST_REMOVE(r, link);
    }
    lunik_loop(r->rt);
    uv_close((uv_handle_t *)&r->poll, on_closed);
}
