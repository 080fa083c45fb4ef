/*
 * virtio_rng.c: the entropy device (virtio 1.2, section 5.4).
 *
 * A request gets as many bytes as its source has at once, at most 64 KiB. Where the source has
 * none, or the guest has used up its quota, requests stay in the queue until a timer has it served
 * again.
 */
#include <stdatomic.h>

#include "rng.h"
#include "virtio_pci.h"
#include "../types.h"

enum { REQUEST_MAX = 65536 };
#define RETRY_NS  UINT64_C(10000000) /* while the source has no bytes */
#define NS_PER_MS UINT64_C(1000000)
#define UNLIMITED INT64_MAX

struct virtio_rng {
    struct virtio_pci pci;
    lunik_object *rng;
    uint64_t max_bytes, period; /* ms */

    _Atomic uint64_t quota; /* bytes left in this period */
    lunik_timer refill;     /* when a period ends */
    lunik_timer retry;
    lunik_task arm_refill, arm_retry;
    bool closed; /* tasks come too late */
};

static struct virtio_rng *rng_of(struct virtio *v)
{
    return lunik_container_of(v, struct virtio_rng, pci.virtio);
}

/* ---- timers --------------------------------------------------------------------------------- */

static void arm(struct virtio_rng *s, lunik_timer *timer, uint64_t ns)
{
    lunik_machine *m = lunik_object_machine(lunik_state_object(s));

    if (!s->closed && timer->deadline == UINT64_MAX)
        lunik_timer_set(timer, lunik_clock_read(lunik_machine_clock(m)) + ns);
}

static void arm_refill(lunik_task *task)
{
    struct virtio_rng *s = lunik_container_of(task, struct virtio_rng, arm_refill);

    arm(s, &s->refill, s->period * NS_PER_MS);
}

static void arm_retry(lunik_task *task)
{
    struct virtio_rng *s = lunik_container_of(task, struct virtio_rng, arm_retry);

    arm(s, &s->retry, RETRY_NS);
}

static void refilled(lunik_timer *timer)
{
    struct virtio_rng *s = lunik_container_of(timer, struct virtio_rng, refill);

    atomic_store(&s->quota, s->max_bytes);
    virtio_path_again(&s->pci.virtio, 0);
}

static void retried(lunik_timer *timer)
{
    struct virtio_rng *s = lunik_container_of(timer, struct virtio_rng, retry);

    virtio_path_again(&s->pci.virtio, 0);
}

/* On the queue's thread. */
static void defer(struct virtio_rng *s, lunik_task *task)
{
    lunik_defer(lunik_machine_runtime(lunik_object_machine(lunik_state_object(s))), task);
}

/* ---- the queue ------------------------------------------------------------------------------ */

static size_t read_source(struct virtio_rng *s, void *buf, size_t size)
{
    return s->rng ? lunik_rng_iface(s->rng)->read(s->rng, buf, size)
                  : rng_builtin_read(NULL, buf, size);
}

/* Returns how many bytes the pieces have got. */
static size_t fill(struct virtio_rng *s, const struct virtqueue_request *r, size_t size)
{
    size_t filled = 0;

    for (unsigned i = r->out; i < (unsigned)r->out + r->in && filled < size; i++) {
        size_t part = r->iov[i].iov_len < size - filled ? r->iov[i].iov_len : size - filled;
        size_t got = read_source(s, r->iov[i].iov_base, part);

        filled += got;
        if (got < part)
            break;
    }
    return filled;
}

/* Returns false if the request has to wait: a timer has been asked for. */
static bool answer(struct virtio_rng *s, struct virtqueue *q, struct virtqueue_request *r)
{
    uint64_t quota = atomic_load(&s->quota), size = r->in_size;
    size_t got;

    if (!size) {
        virtqueue_break(q, "a request has no room for random bytes");
        virtqueue_push(q, r, 0);
        return true;
    }
    if (s->max_bytes != UNLIMITED)
        defer(s, &s->arm_refill);
    size = size < REQUEST_MAX ? size : REQUEST_MAX;
    size = size < quota ? size : quota;
    got = fill(s, r, size);
    if (!got) {
        virtqueue_unpop(q, r);
        if (quota)
            defer(s, &s->arm_retry);
        return false;
    }
    if (s->max_bytes != UNLIMITED)
        atomic_fetch_sub(&s->quota, got);
    virtqueue_push(q, r, (uint32_t)got);
    return true;
}

static void serve(struct virtio *v, unsigned queue)
{
    struct virtio_rng *s = rng_of(v);
    struct virtqueue *q = &v->queues[queue];
    struct virtqueue_request *r;
    bool waits = false;

    do {
        virtqueue_quiet(q);
        while (!waits && virtqueue_pop(q, &r, 1))
            waits = !answer(s, q, r);
        virtio_flush(v, queue);
    } while (virtqueue_listen(q) && !waits);
}

static const struct virtio_ops ops = {.serve = serve};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_rng *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);

    (void)err;
    s->closed = false;
    s->pci.queue_count = 1;
    s->pci.queue_size = 8;
    lunik_timer_init(&s->refill, m, refilled);
    lunik_timer_init(&s->retry, m, retried);
    s->arm_refill.fn = arm_refill;
    s->arm_retry.fn = arm_retry;
    atomic_store(&s->quota, s->max_bytes);
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct virtio_rng *s = lunik_state(o);
    lunik_runtime *rt = lunik_machine_runtime(lunik_object_machine(o));

    s->closed = true;
    lunik_timer_cancel(&s->refill);
    lunik_timer_cancel(&s->retry);
    lunik_defer_cancel(rt, &s->arm_refill);
    lunik_defer_cancel(rt, &s->arm_retry);
}

static const lunik_prop props[] = {
    {
        .name = "rng",
        .kind = LUNIK_PROP_LINK,
        .doc = "Where the random bytes come from; without one, the host's kernel.",
        .offset = offsetof(struct virtio_rng, rng),
        .link = LUNIK_IFACE_rng,
    },
    {
        .name = "max-bytes",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes that the guest gets in each period, at least 1.",
        .offset = offsetof(struct virtio_rng, max_bytes),
        .def = UNLIMITED,
        .min = 1,
        .max = UNLIMITED,
    },
    {
        .name = "period",
        .kind = LUNIK_PROP_UINT,
        .doc = "Milliseconds for which max-bytes counts, 1 to 2^32 - 1.",
        .offset = offsetof(struct virtio_rng, period),
        .def = 65536,
        .min = 1,
        .max = UINT32_MAX,
    },
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    struct virtio_rng *s = staged;
    const struct virtio_rng *now = state;

    (void)version, (void)err;
    if (atomic_load(&s->quota) > now->max_bytes)
        atomic_store(&s->quota, now->max_bytes);
    return 0;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio_rng, quota),
    LUNIK_STATE(struct virtio_rng, refill),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-rng-pci",
    .version = 1,
    .size = sizeof(struct virtio_rng),
    .fields = state_fields,
    .post_load = post_load,
};

static const struct virtio_pci_class class = {
    .id = 4, .class_code = 0x00ff00, .ops = &ops, .realize = realize, .unrealize = unrealize};

const lunik_type virtio_rng_pci_type = {
    VIRTIO_PCI_TYPE("virtio-rng-pci", &class),
    .doc = "Gives the guest random bytes (virtio entropy device).",
    .size = sizeof(struct virtio_rng),
    .props = props,
    .state = &state_table,
};
