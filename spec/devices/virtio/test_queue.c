/* test_queue.c: a virtio queue, its memory and its state. */
#include "virtio_rig.h"

enum { SIZE = 8, DATA_AT = 0x12000, HIGH_DATA = LOW_SIZE + 0x1000 };
enum { WRITE = 2, AVAIL = 0x80, USED = 0x8000 };

static void start(uint64_t features)
{
    memset(rig_at(0), 0, DATA_AT);
    virtqueue_reset(&queue);
    rig_place(SIZE);
    must("enable", virtqueue_enable(&queue, VIRTIO_F_VERSION_1 | features, &err));
}

/* Offers one buffer to write to. */
static void offer(uint64_t address, uint32_t length)
{
    _Atomic uint16_t *index = rig_word(DRIVER_AT + 2);
    uint16_t at = *index % SIZE;

    rig_descriptor(RING_AT + 16u * at, address, length, WRITE, 0);
    *rig_word(DRIVER_AT + 4 + 2 * at) = at;
    ++*index;
}

static struct virtqueue_request *take(void)
{
    struct virtqueue_request *r = NULL;

    return virtqueue_pop(&queue, &r, 1) ? r : NULL;
}

static uint16_t shown(void)
{
    return *rig_word(DEVICE_AREA_AT + 2);
}

static void end_queue(void)
{
    must("nothing in flight", queue.in_flight);
    virtqueue_reset(&queue);
}

static void note_idle(lunik_dma_idle *idle)
{
    idle->fn = NULL;
}

static void run_loop(void)
{
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

/* ---- making and enabling -------------------------------------------------------------------- */

static void check_refused(const char *name, int rc, int want, const char *text)
{
    check_int(name, rc, want);
    check_contains(name, err.message, text);
}

static void test_limits(void)
{
    struct virtqueue q;

    check_refused("sizes: not 3", virtqueue_init(&q, dma, 3, 1, &err), LUNIK_E_INVALID, "not 3");
    check_refused("sizes: not 0", virtqueue_init(&q, dma, 0, 1, &err), LUNIK_E_INVALID, "not 0");
    check_refused("sizes: not 65535", virtqueue_init(&q, dma, 65535, 1, &err), LUNIK_E_INVALID,
                  "32768");
    check_refused("pieces: not 0", virtqueue_init(&q, dma, 8, 0, &err), LUNIK_E_INVALID, "not 0");
    check_refused("pieces: not 1025", virtqueue_init(&q, dma, 8, 1025, &err), LUNIK_E_INVALID,
                  "not 1025");
    check_int("the largest", virtqueue_init(&q, dma, 32768, 1, &err), 0);
    virtqueue_fini(&q);
}

static int try_enable(uint16_t size, uint64_t table, uint64_t device, uint64_t features)
{
    virtqueue_reset(&queue);
    rig_place(size);
    queue.descriptors = table;
    queue.device_area = device;
    return virtqueue_enable(&queue, features, &err);
}

static void test_enable(void)
{
    check_refused("enable: a split ring of 6", try_enable(6, RING_AT, DEVICE_AREA_AT, 0),
                  LUNIK_E_INVALID, "a split queue here has a power of two of entries up to 8");
    check_int("enable: a packed ring of 6",
              try_enable(6, RING_AT, DEVICE_AREA_AT, VIRTIO_F_RING_PACKED), 0);
    check_refused("enable: twice", virtqueue_enable(&queue, 0, &err), LUNIK_E_STATE, "is enabled");
    check_refused("enable: none", try_enable(0, RING_AT, DEVICE_AREA_AT, 0), LUNIK_E_INVALID,
                  "not 0");
    check_refused("enable: more than there are", try_enable(16, RING_AT, DEVICE_AREA_AT, 0),
                  LUNIK_E_INVALID, "not 16");
    check_refused("enable: an odd table", try_enable(8, RING_AT + 8, DEVICE_AREA_AT, 0),
                  LUNIK_E_INVALID, "descriptor area of 128 bytes can't be at 0x1008");
    check_refused("enable: past the end", try_enable(8, RING_AT, UINT64_MAX - 3, 0),
                  LUNIK_E_INVALID, "device area of 68 bytes can't be at 0xfffffffffffffffc");
    check_true("enable: a queue that is not is left alone",
               !take() && !virtqueue_flush(&queue) && !virtqueue_listen(&queue));
}

static void test_notification_data(void)
{
    start(0);
    offer(DATA_AT, 1);
    check_true("data: something new", virtqueue_notified(&queue, 1 << 16 | 5));
    virtqueue_push(&queue, take(), 0);
    virtqueue_flush(&queue);
    check_true("data: taken already", !virtqueue_notified(&queue, 1 << 16 | 5));
    start(VIRTIO_F_RING_PACKED);
    check_true("data: packed, nothing new", !virtqueue_notified(&queue, 0x8000u << 16));
    check_true("data: packed, a position", virtqueue_notified(&queue, 0x8001u << 16));
    check_true("data: packed, once round", virtqueue_notified(&queue, 0));
    end_queue();
}

static void test_reset(void)
{
    struct virtqueue_request *r;

    start(0);
    offer(DATA_AT, 4);
    r = take();
    if (!check_true("reset: a request", r != NULL))
        return;
    virtqueue_reset(&queue);
    rig_place(SIZE);
    check_refused("reset: not before all is back", virtqueue_enable(&queue, 0, &err), LUNIK_E_STATE,
                  "in flight");
    memset(r->iov->iov_base, 0xee, 4); /* the memory is still there */
    virtqueue_push(&queue, r, 4);
    check_true("reset: no interrupt", !virtqueue_flush(&queue));
    check_uint("reset: nothing is shown", shown(), 0);
    check_int("reset: then it can be enabled", virtqueue_enable(&queue, 0, &err), 0);
    check_true("reset: and begins anew", take() == r && queue.avail == 1);
    virtqueue_push(&queue, r, 4);
    virtqueue_reset(&queue);
    check_true("reset: what is pushed and not shown is gone", !queue.in_flight && !queue.held);
    virtqueue_break(&queue, "a header of %u bytes", 3u);
    virtqueue_break(&queue, "another reason");
    check_string("broken by the device", virtqueue_broken(&queue), "a header of 3 bytes");
    virtqueue_reset(&queue);
    check_true("broken until it is reset", !virtqueue_broken(&queue));
}

/* ---- memory --------------------------------------------------------------------------------- */

static void test_gate(void)
{
    lunik_dma_idle idle = {.fn = note_idle};
    struct virtqueue_request *r;

    start(0);
    offer(DATA_AT, 4);
    offer(DATA_AT, 4);
    r = take();
    lunik_dma_disable(dma, &idle);
    run_loop();
    check_true("gate: a request is an access under way", idle.fn);
    check_true("gate: no more are taken", !take() && !virtqueue_broken(&queue));
    virtqueue_push(&queue, r, 4);
    virtqueue_flush(&queue);
    check_uint("gate: it is completed", shown(), 1);
    run_loop();
    check_true("gate: then all is quiet", !idle.fn);
    check_true("gate: and stays so", !take() && !virtqueue_listen(&queue));
    lunik_dma_enable(dma);
    r = take();
    check_true("gate: open again", r);
    virtqueue_push(&queue, r, 0);
    virtqueue_flush(&queue);
    end_queue();
}

/* The upper block goes while a request is in flight, and its place is taken by another. */
static void test_map_change(void)
{
    lunik_ram *other = new_ram("other", HIGH_SIZE);
    struct virtqueue_request *r;
    void *old;

    start(0);
    offer(HIGH_DATA, 4);
    r = take();
    old = r->iov->iov_base;
    drop(rig_regions[1]);
    rig_regions[1] = NULL;
    offer(HIGH_DATA, 4);
    check_true("map: nothing there", !take());
    check_contains("map: nothing there", virtqueue_broken(&queue), "the buffer at 0x2d000 is not");
    memset(old, 0x77, 4);
    virtqueue_push(&queue, r, 4);
    virtqueue_flush(&queue);
    rig_regions[1] = show_ram("other", other, 0, HIGH_SIZE, LOW_SIZE, 0);
    start(0);
    offer(HIGH_DATA, 4);
    r = take();
    check_true("map: another block",
               r && r->iov->iov_base == (char *)lunik_ram_host(other) + 0x1000);
    drop(rig_regions[1]);
    rig_regions[1] = show_ram("high", high_ram, 0, HIGH_SIZE, LOW_SIZE, 0);
    virtqueue_push(&queue, r, 0);
    virtqueue_flush(&queue);
    check_uint("map: the ring is found again", shown(), 1);
    lunik_ram_unref(other);
    end_queue();
}

/* An idle queue has a window on the block, which refresh() closes. */
static void test_refresh(void)
{
    lunik_ram *ram = new_ram("plugged", 0x1000);
    lunik_region *r = show_ram("plugged", ram, 0, 0x1000, 0x100000, 0);

    start(0);
    offer(0x100000, 4);
    virtqueue_push(&queue, take(), 0);
    virtqueue_flush(&queue);
    virtqueue_refresh(&queue);
    check_true("refresh: nothing has changed", queue.map);
    drop(r);
    lunik_unlock(rt);
    rcu_drain();
    lunik_lock(rt);
    check_uint("refresh: the queue keeps the block", atomic_load(&ram->refs), 2);
    virtqueue_refresh(&queue);
    check_uint("refresh: and gives it back", atomic_load(&ram->refs), 1);
    lunik_ram_unref(ram);
    offer(DATA_AT, 4);
    virtqueue_push(&queue, take(), 0);
    check_true("refresh: the queue goes on", virtqueue_flush(&queue));
    end_queue();
}

/* Bytes at address are in a page that is marked. */
static bool dirty(uint64_t address)
{
    return address < LOW_SIZE
               ? lunik_dirty_count(low_ram, LUNIK_DIRTY_USER, address & ~UINT64_C(0xfff), 0x1000)
               : lunik_dirty_count(high_ram, LUNIK_DIRTY_USER,
                                   (address - LOW_SIZE) & ~UINT64_C(0xfff), 0x1000);
}

static void serve_logged(const char *kind, uint64_t features)
{
    lunik_dirty_scope everything = {0};
    struct virtqueue_request *r;
    bool is_packed = features & VIRTIO_F_RING_PACKED;

    start(features);
    if (is_packed)
        rig_descriptor(RING_AT, HIGH_DATA - 0x1000, 0x3000, 0, WRITE | AVAIL);
    else
        offer(HIGH_DATA - 0x1000, 0x3000);
    r = take(); /* before logging begins */
    must("log", lunik_dirty_start(m, LUNIK_DIRTY_USER, &everything, &err));
    virtqueue_push(&queue, r, 0x1001);
    virtqueue_flush(&queue);
    check_true(kind, dirty(HIGH_DATA - 0x1000) && dirty(HIGH_DATA) && !dirty(HIGH_DATA + 0x1000));
    check_true("dirty: the ring", dirty(is_packed ? RING_AT : DEVICE_AREA_AT));
    check_true("dirty: only where it is written",
               !dirty(is_packed ? DEVICE_AREA_AT : RING_AT) && !dirty(DRIVER_AT));
    virtqueue_listen(&queue);
    check_true("dirty: the event", dirty(DEVICE_AREA_AT));
    must("log", lunik_dirty_stop(m, LUNIK_DIRTY_USER, &everything, &err));
    end_queue();
}

static void test_dirty(void)
{
    serve_logged("dirty: split", 0);
    serve_logged("dirty: packed", VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX);
}

/* ---- state ---------------------------------------------------------------------------------- */

struct holder {
    struct virtqueue queue;
};

static const lunik_state_field holder_fields[] = {
    LUNIK_STATE_STRUCT(struct holder, queue, &virtqueue_state), {0}};
static const lunik_state_table holder_state = {
    .name = "holder", .version = 1, .size = sizeof(struct holder), .fields = holder_fields};
static const lunik_type holder_type = {
    .name = "holder", .doc = "Has a queue.", .size = sizeof(struct holder), .state = &holder_state};

static struct virtqueue *new_holder(const char *id, lunik_object **o)
{
    lunik_field props[] = {LUNIK_FIELD_STRING("id", id)};
    struct holder *h;

    must("holder", lunik_object_add(m, "holder", props, 1, o, &err));
    h = lunik_state(*o);
    must("its queue", virtqueue_init(&h->queue, dma, SIZE, 4, &err));
    return &h->queue;
}

/* b breaks with a request in flight; then it gets the state of a, which is as before that. */
static unsigned load_over_broken(lunik_object *from, lunik_object *to, struct virtqueue *a,
                                 struct virtqueue *b)
{
    struct virtqueue_request *r = NULL;
    lunik_state_buffer saved = {0};

    memset(rig_at(0), 0, DATA_AT);
    virtqueue_reset(a);
    a->descriptors = RING_AT;
    a->driver_area = DRIVER_AT;
    a->device_area = DEVICE_AREA_AT;
    must("enable", virtqueue_enable(a, 0, &err));
    must("save", lunik_object_save(from, &saved, &err));
    must("load", lunik_object_load(to, saved.data, saved.size, &err));
    offer(DATA_AT, 4);
    check_uint("state: taken", virtqueue_pop(b, &r, 1), 1);
    virtqueue_break(b, "for a reason");
    virtqueue_push(b, r, 0);
    virtqueue_flush(b);
    must("load", lunik_object_load(to, saved.data, saved.size, &err));
    if (!virtqueue_pop(b, &r, 1))
        return 0;
    virtqueue_push(b, r, 0);
    virtqueue_flush(b);
    lunik_state_buffer_free(&saved);
    return !virtqueue_broken(b);
}

/* Serves a round of a packed ring of 6. */
static void serve_round(struct virtqueue *q, lunik_object *o)
{
    lunik_state_buffer none = {0};
    struct virtqueue_request *r = NULL;

    for (uint16_t i = 0; i < 6; i++)
        rig_descriptor(RING_AT + 16u * i, DATA_AT, 1, i, WRITE | AVAIL);
    for (unsigned i = 0; i < 6 && virtqueue_pop(q, &r, 1); i++) {
        check_refused("state: not with requests in flight", lunik_object_save(o, &none, &err),
                      LUNIK_E_STATE, "1 requests in flight");
        virtqueue_push(q, r, 1);
        virtqueue_flush(q);
    }
}

static void test_state(void)
{
    lunik_object *from, *to;
    struct virtqueue *a, *b;
    struct virtqueue_request *r = NULL;
    lunik_state_buffer saved = {0};

    must("type", lunik_type_add(rt, &holder_type, &err));
    a = new_holder("from", &from);
    b = new_holder("to", &to);
    start(0); /* clears the rings */
    a->size = 6;
    a->descriptors = RING_AT;
    a->driver_area = DRIVER_AT;
    a->device_area = DEVICE_AREA_AT;
    must("enable", virtqueue_enable(a, VIRTIO_F_RING_PACKED, &err));
    serve_round(a, from);
    must("save", lunik_object_save(from, &saved, &err));
    must("load", lunik_object_load(to, saved.data, saved.size, &err));
    rig_descriptor(RING_AT, DATA_AT, 1, 9, WRITE | USED);
    check_uint("state: the next request", virtqueue_pop(b, &r, 1), 1);
    check_uint("state: is the one that the first would get", r->id, 9);
    check_refused("state: nor is it loaded with some",
                  lunik_object_load(to, saved.data, saved.size, &err), LUNIK_E_STATE, "in flight");
    virtqueue_push(b, r, 1);
    virtqueue_flush(b);
    check_uint("state: used in the second round", *rig_word(RING_AT + 14), WRITE);
    virtqueue_break(a, "for a reason");
    lunik_state_buffer_free(&saved);
    must("save", lunik_object_save(from, &saved, &err));
    must("load", lunik_object_load(to, saved.data, saved.size, &err));
    check_string("state: broken", virtqueue_broken(b), "for a reason");
    check_uint("state: a broken queue takes a good one's", load_over_broken(from, to, a, b), 1);
    virtqueue_reset(a);
    a->size = 5;
    a->descriptors = RING_AT;
    must("enable", virtqueue_enable(a, VIRTIO_F_RING_PACKED, &err));
    a->avail = 5; /* an invalid position, as it is 0 to 4 */
    lunik_state_buffer_free(&saved);
    must("save", lunik_object_save(from, &saved, &err));
    check_refused("state: a position outside", lunik_object_load(to, saved.data, saved.size, &err),
                  LUNIK_E_INVALID, "outside of a queue of 5 entries");
    lunik_state_buffer_free(&saved);
    virtqueue_fini(a);
    virtqueue_fini(b);
}

/* A packed ring of 6 with two requests kept, whose descriptors have been written over. */
static void keep_two(struct virtqueue *q)
{
    struct virtqueue_request *r[3] = {NULL};

    q->size = 6;
    q->descriptors = RING_AT;
    q->driver_area = DRIVER_AT;
    q->device_area = DEVICE_AREA_AT;
    must("enable", virtqueue_enable(q, VIRTIO_F_RING_PACKED, &err));
    for (uint16_t i = 0; i < 3; i++)
        rig_descriptor(RING_AT + 16u * i, DATA_AT + 16u * i, 4u + i, i, WRITE | AVAIL);
    check_uint("kept: taken", virtqueue_pop(q, r, 3), 3);
    virtqueue_push(q, r[2], 1);
    check_true("kept: the second", virtqueue_keep(q, r[1]));
    check_true("kept: the first", virtqueue_keep(q, r[0]));
    virtqueue_flush(q);
}

static void check_taken_again(const char *name, struct virtqueue *q)
{
    struct virtqueue_request *r[3] = {NULL};

    check_uint(name, virtqueue_pop(q, r, 3), 2);
    check_uint("kept: in that order", r[0]->id, 1);
    check_uint("kept: with its buffer", r[0]->in_size, 5);
    check_true("kept: where it is", r[0]->iov[0].iov_base == rig_at(DATA_AT + 16));
    check_uint("kept: both", r[1]->id, 0);
    virtqueue_push(q, r[0], 5);
    virtqueue_push(q, r[1], 4);
    virtqueue_flush(q);
    check_uint("kept: shown as used", *rig_word(RING_AT + 32 + 14), WRITE | USED | AVAIL);
    check_uint("kept: with its id", *rig_word(RING_AT + 32 + 12), 0);
}

static void check_bad_kept(struct virtqueue *a, lunik_object *from, lunik_object *to, uint64_t word)
{
    lunik_state_buffer saved = {0};
    uint64_t good = a->kept[0];

    a->kept[0] = word;
    must("save", lunik_object_save(from, &saved, &err));
    a->kept[0] = good;
    check_refused("kept: a bad word", lunik_object_load(to, saved.data, saved.size, &err),
                  LUNIK_E_INVALID, "begins no request of a queue of 6");
    lunik_state_buffer_free(&saved);
}

static void test_kept(void)
{
    lunik_object *from, *to;
    struct virtqueue *a = new_holder("keeps", &from), *b = new_holder("gets", &to);
    lunik_state_buffer saved = {0};

    start(0); /* clears the rings */
    must("notes", virtqueue_note_buffers(a, &err));
    keep_two(a);
    must("save", lunik_object_save(from, &saved, &err));
    check_bad_kept(a, from, to, UINT64_C(1) << 16);                     /* no buffer */
    check_bad_kept(a, from, to, UINT64_C(1) << 16 | UINT64_C(3) << 32); /* more than there are */
    check_bad_kept(a, from, to, UINT64_C(7) << 16 | UINT64_C(1) << 32); /* more than the ring has */
    must("load", lunik_object_load(to, saved.data, saved.size, &err));
    check_uint("kept: descriptors are the device's", b->owned, 2);
    check_taken_again("kept: where it was loaded", b);
    check_uint("kept: none are left", b->owned, 0);
    rig_descriptor(RING_AT + 32, 0, 0, 0, 0);
    check_taken_again("kept: where it was", a);
    virtqueue_reset(a);
    keep_two(a);
    virtqueue_reset(a);
    check_uint("kept: not after a reset", a->kept_words, 0);
    lunik_state_buffer_free(&saved);
    virtqueue_fini(a);
    virtqueue_fini(b);
}

int main(void)
{
    new_runtime();
    rig_open();
    must("queue", virtqueue_init(&queue, dma, SIZE, 4, &err));
    test_limits();
    test_enable();
    test_notification_data();
    test_reset();
    test_gate();
    test_map_change();
    test_refresh();
    test_dirty();
    test_state();
    test_kept();
    virtqueue_fini(&queue);
    rig_close();
    lunik_runtime_free(rt);
    return check_result();
}
