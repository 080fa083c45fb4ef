/* ioeventfd.c: ioeventfds whose signals become calls on the loop. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/machine.h"
#include "core/misuse.h"
#include "core/rcu.h"
#include "memory.h"

struct lunik_ioeventfd {
    lunik_runtime *rt;
    lunik_region *region; /* a reference */
    lunik_ioeventfd_config config;
    int fd;
    uv_poll_t poll;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
    lunik_ioeventfd *e = lunik_container_of(poll, lunik_ioeventfd, poll);
    uint64_t count;

    if (read(e->fd, &count, sizeof(count)) == sizeof(count))
        e->config.fn(e->config.opaque, count);
}

static void on_closed(uv_handle_t *handle)
{
    lunik_ioeventfd *e = lunik_container_of((uv_poll_t *)handle, lunik_ioeventfd, poll);

    close(e->fd);
    free(e);
}

/* Frees e. Without fn, libuv has no handle for it. */
static void release(lunik_ioeventfd *e)
{
    lunik_region_unref(e->region);
    if (e->config.fn) {
        lunik_loop(e->rt); /* on a vCPU's thread: wakes the loop at unlock */
        uv_close((uv_handle_t *)&e->poll, on_closed);
    } else {
        close(e->fd);
        free(e);
    }
}

static int watch(lunik_ioeventfd *e, lunik_error *err)
{
    int rc;

    if (!e->config.fn)
        return 0;
    rc = uv_poll_init(lunik_loop(e->rt), &e->poll, e->fd);
    if (rc) {
        e->config.fn = NULL;
        return lunik_fail_errno(err, -rc, "memory region '%s': can't watch an ioeventfd",
                                e->region->name);
    }
    uv_unref((uv_handle_t *)&e->poll);
    rc = lunik_poll_start(&e->poll, UV_READABLE, on_readable);
    return rc ? lunik_fail_errno(err, -rc, "memory region '%s': can't watch an ioeventfd",
                                 e->region->name)
              : 0;
}

int lunik_ioeventfd_new(lunik_region *r, const lunik_ioeventfd_config *config,
                        lunik_ioeventfd **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(r, err);
    NOT_NULL_OR_FAIL(config, err);

    lunik_ioeventfd *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return fail_no_memory(err);
    e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->fd < 0 && rcu_shortage_over(errno))
        e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->fd < 0) {
        rc = lunik_fail_errno(err, errno, "memory region '%s': can't make an ioeventfd", r->name);
        free(e);
        return rc;
    }
    e->rt = r->core->rt;
    e->region = r;
    lunik_region_ref(r);
    e->config = *config;
    rc = watch(e, err);
    if (!rc)
        rc = lunik_region_add_eventfd(r, config->offset, config->size, config->match, config->data,
                                      e->fd, err);
    if (rc)
        release(e);
    else
        *out = e;
    return rc;
}

int lunik_ioeventfd_fd(const lunik_ioeventfd *e)
{
    NOT_NULL(e, -1);

    return e->fd;
}

int lunik_ioeventfd_detach(lunik_ioeventfd *e, lunik_error *err)
{
    NOT_NULL_OR_FAIL(e, err);

    return io_del_event(e->region, e->config.offset, e->config.size, e->config.match,
                        e->config.data, e->fd, err);
}

int lunik_ioeventfd_close(lunik_ioeventfd *e, lunik_error *err)
{
    NOT_NULL_OR_FAIL(e, err);

    int rc = lunik_ioeventfd_detach(e, err);

    if (rc == LUNIK_E_STATE)
        return rc;
    release(e);
    return rc == LUNIK_E_NOT_FOUND || rc == LUNIK_E_GONE ? 0 : rc;
}
