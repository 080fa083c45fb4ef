/*
 * blockdev_lua.c: a disk whose contents functions of a program provide, such as a script's.
 *
 * Requests come on the threads of channels, and are carried out one after another on the loop's
 * thread, in pieces: between two of them others get the machine lock.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block_mail.h"
#include "../types.h"

enum { CHUNK = 256 << 10 };

struct blockdev_lua {
    struct blockdev base;
    lunik_block_functions functions;
    uint8_t *chunk;
    pthread_mutex_t mutex; /* guards the queue */
    struct block_request *first, **last;
    struct block_request *current; /* taken out of it, on the loop's thread */
    _Atomic bool current_closed;   /* its channel is gone */
    lunik_task task;
};

struct lua_channel {
    struct block_channel base;
    struct blockdev_lua *dev;
    struct block_mail *mail;
};

static lunik_runtime *runtime_of(struct blockdev_lua *dev)
{
    return lunik_machine_runtime(lunik_object_machine(lunik_state_object(dev)));
}

/* ---- pieces of requests --------------------------------------------------------------------- */

/* Copies size bytes between the chunk and the request's pieces from its progress on. */
static void copy(struct block_request *r, uint8_t *chunk, uint64_t size, bool out)
{
    uint64_t skip = r->progress;

    for (unsigned i = 0; i < r->count && size; i++) {
        uint64_t here = r->iov[i].iov_len;
        uint8_t *at = r->iov[i].iov_base;

        if (skip >= here) {
            skip -= here;
            continue;
        }
        at += skip;
        here -= skip;
        skip = 0;
        here = here < size ? here : size;
        memcpy(out ? chunk : at, out ? at : chunk, here);
        chunk += here;
        size -= here;
    }
}

static int call(struct blockdev_lua *dev, lunik_block_call what, uint64_t offset, uint64_t size)
{
    const lunik_block_functions *f = &dev->functions;

    return f->call ? f->call(f->opaque, lunik_state_object(dev), what, offset, dev->chunk, size)
                   : -EIO;
}

static int transfer(struct blockdev_lua *dev, struct block_request *r, uint64_t size)
{
    bool read = r->op == BLOCK_READ;
    int rc;

    if (r->op == BLOCK_WRITE)
        copy(r, dev->chunk, size, true);
    else if (r->op == BLOCK_WRITE_ZEROES)
        memset(dev->chunk, 0, size);
    rc = call(dev, read ? LUNIK_BLOCK_READ : LUNIK_BLOCK_WRITE, r->offset + r->progress, size);
    if (!rc && read && !dev->current_closed)
        copy(r, dev->chunk, size, false);
    return rc;
}

/* Carries out a piece of a request; returns 0 or a negative errno. */
static int step(struct blockdev_lua *dev, struct block_request *r)
{
    uint64_t left = r->size - r->progress, size = left < CHUNK ? left : CHUNK;
    int rc;

    if (r->op == BLOCK_FLUSH)
        return call(dev, LUNIK_BLOCK_FLUSH, 0, 0);
    if (r->op == BLOCK_DISCARD) {
        r->progress = r->size;
        return call(dev, LUNIK_BLOCK_DISCARD, r->offset, r->size);
    }
    rc = transfer(dev, r, size);
    if (rc || dev->current_closed)
        return rc;
    r->progress += size;
    if (r->progress == r->size && r->flags & BLOCK_FUA)
        rc = call(dev, LUNIK_BLOCK_FLUSH, 0, 0);
    return rc;
}

/* ---- the queue ------------------------------------------------------------------------------ */

static void take_next(struct blockdev_lua *dev)
{
    pthread_mutex_lock(&dev->mutex);
    dev->current = dev->first;
    dev->current_closed = false;
    if (dev->first)
        dev->first = dev->first->next;
    if (!dev->first)
        dev->last = &dev->first;
    pthread_mutex_unlock(&dev->mutex);
}

static bool more(struct blockdev_lua *dev)
{
    bool any;

    pthread_mutex_lock(&dev->mutex);
    any = dev->current || dev->first;
    pthread_mutex_unlock(&dev->mutex);
    return any;
}

static void carry_out(lunik_task *task)
{
    struct blockdev_lua *dev = lunik_container_of(task, struct blockdev_lua, task);
    struct block_request *r;
    struct block_mail *mail;
    int rc;

    if (!dev->current)
        take_next(dev);
    r = dev->current;
    if (!r)
        return;
    mail = r->mail;
    rc = dev->current_closed ? -ECANCELED : step(dev, r);
    if (rc || dev->current_closed || r->op == BLOCK_FLUSH || r->progress == r->size) {
        pthread_mutex_lock(&dev->mutex);
        dev->current = NULL;
        pthread_mutex_unlock(&dev->mutex);
        block_mail_send(mail, r, rc);
        block_mail_drop(mail);
    }
    if (more(dev))
        lunik_defer(runtime_of(dev), &dev->task);
}

static void submit(struct block_channel *base, struct block_request *r)
{
    struct lua_channel *c = lunik_container_of(base, struct lua_channel, base);
    struct blockdev_lua *dev = c->dev;

    block_mail_hold(c->mail);
    r->mail = c->mail;
    pthread_mutex_lock(&dev->mutex);
    *dev->last = r;
    dev->last = &r->next;
    pthread_mutex_unlock(&dev->mutex);
    lunik_defer(runtime_of(dev), &dev->task);
}

/* ---- channels ------------------------------------------------------------------------------- */

static int open_channel(lunik_object *o, const struct block_place *place,
                        struct block_channel **out, lunik_error *err)
{
    struct block_mail *mail;
    struct lua_channel *c = block_channel_new(o, sizeof(*c), &mail, err);

    (void)place;
    if (!c)
        return LUNIK_E_NO_MEMORY;
    c->dev = lunik_state(o);
    c->mail = mail;
    *out = &c->base;
    return 0;
}

/* Requests that have not begun are taken back. */
static void close_channel(struct block_channel *base)
{
    struct lua_channel *c = lunik_container_of(base, struct lua_channel, base);
    struct blockdev_lua *dev = c->dev;
    struct block_request **link = &dev->first;

    pthread_mutex_lock(&dev->mutex);
    while (*link) {
        if ((*link)->mail == c->mail) {
            *link = (*link)->next;
            block_mail_drop(c->mail);
        } else {
            link = &(*link)->next;
        }
    }
    dev->last = link;
    if (dev->current && dev->current->mail == c->mail)
        dev->current_closed = true;
    pthread_mutex_unlock(&dev->mutex);
    block_mail_close(c->mail);
    free(c);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int resize(lunik_object *o, uint64_t size, lunik_error *err)
{
    (void)o, (void)size, (void)err;
    return 0;
}

static void set_functions(lunik_object *o, const lunik_block_functions *functions)
{
    struct blockdev_lua *dev = lunik_state(o);

    dev->functions = *functions;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct blockdev_lua *dev = lunik_state(o);

    if (!dev->base.size || dev->base.size % BLOCK_SECTOR || dev->base.size > INT64_MAX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: size: %" PRIu64 " is no size of a disk (want a multiple of %d)",
                          lunik_object_type_name(o), dev->base.size, BLOCK_SECTOR);
    dev->chunk = malloc(CHUNK);
    if (!dev->chunk)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", lunik_object_type_name(o));
    pthread_mutex_init(&dev->mutex, NULL);
    dev->last = &dev->first;
    dev->base.unit = BLOCK_SECTOR;
    dev->base.discards = true;
    dev->task.fn = carry_out;
    return 0;
}

/* The mutex stays: a channel may be closed a little later. */
static void unrealize(lunik_object *o)
{
    struct blockdev_lua *dev = lunik_state(o);

    lunik_defer_cancel(runtime_of(dev), &dev->task);
    free(dev->chunk);
    dev->chunk = NULL;
    dev->functions = (lunik_block_functions){0};
}

static const lunik_blockdev_ops blockdev_ops = {
    .open = open_channel,
    .submit = submit,
    .close = close_channel,
    .resize = resize,
};

static const lunik_block_functions_ops functions_ops = {.set = set_functions};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(blockdev, &blockdev_ops),
    LUNIK_IFACE(block_functions, &functions_ops),
    {0},
};

const lunik_type blockdev_lua_type = {
    .name = "blockdev-lua",
    .parent = "blockdev",
    .doc = "A disk whose contents functions of a script provide.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct blockdev_lua),
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
