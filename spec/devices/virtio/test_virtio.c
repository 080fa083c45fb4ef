/* test_virtio.c: status, features, configuration and resets, as a driver sees them. */
#include "devices/virtio/virtio.h"
#include "virtio_rig.h"

enum { QUEUES = 2, SIZE = 8, DATA_AT = 0x12000, READY = 15, CONFIG = 6 };

static struct virtqueue queues[QUEUES];
static uint8_t config[CONFIG];
static struct {
    unsigned starts, stops, kicks, resets, interrupts, configured;
    unsigned last; /* queue, or offset */
    bool answers;  /* stop() at once */
} seen;
static struct virtio v;

static bool check_features(struct virtio *device, uint64_t features)
{
    (void)device;
    return !(features & 2) || features & 1; /* bit 1 depends on bit 0 */
}

static void start(struct virtio *device)
{
    (void)device;
    seen.starts++;
}

static void stop(struct virtio *device, unsigned n)
{
    seen.stops++;
    if (seen.answers)
        virtio_queue_stopped(device, n);
}

static void kick(struct virtio *device, unsigned n)
{
    (void)device;
    seen.kicks++;
    seen.last = n;
}

static void reset(struct virtio *device)
{
    (void)device;
    seen.resets++;
}

static void configured(struct virtio *device, uint32_t offset, uint32_t size)
{
    (void)device;
    seen.configured += size;
    seen.last = offset;
}

static void config_interrupt(void *opaque)
{
    (void)opaque;
    seen.interrupts++;
}

static const struct virtio_ops ops = {.features_ok = check_features,
                                      .start = start,
                                      .stop = stop,
                                      .kick = kick,
                                      .reset = reset,
                                      .configured = configured};
static const struct virtio_transport transport = {.config_interrupt = config_interrupt};

static void begin(void)
{
    memset(&seen, 0, sizeof(seen));
    memset(rig_at(0), 0, DATA_AT);
    seen.answers = true;
    v = (struct virtio){.ops = &ops,
                        .transport = &transport,
                        .offered = VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET | 3,
                        .queues = queues,
                        .queue_count = QUEUES,
                        .config = config,
                        .config_size = CONFIG};
    virtio_init(&v);
}

static void place(unsigned n)
{
    queues[n].size = SIZE;
    queues[n].descriptors = RING_AT;
    queues[n].driver_area = DRIVER_AT;
    queues[n].device_area = DEVICE_AREA_AT;
}

/* Up to DRIVER_OK, with queue 1 enabled. */
static void make_ready(void)
{
    begin();
    virtio_set_status(&v, VIRTIO_ACKNOWLEDGE);
    virtio_set_status(&v, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_set_features(&v, 0, 1);
    virtio_set_features(&v, 1, (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET) >> 32);
    virtio_set_status(&v, READY & ~VIRTIO_DRIVER_OK);
    place(1);
    must("queue", virtio_enable_queue(&v, 1, &err));
    virtio_set_status(&v, READY);
}

static uint8_t status_with(uint32_t low, uint32_t high)
{
    begin();
    virtio_set_features(&v, 0, low);
    virtio_set_features(&v, 1, high);
    virtio_set_status(&v, VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    return virtio_status(&v);
}

static void test_features(void)
{
    begin();
    check_uint("offered", virtio_offered(&v, 0), 3);
    check_uint("offered, the upper half", virtio_offered(&v, 1), 0x101);
    check_uint("offered, beyond", virtio_offered(&v, 2), 0);
    check_uint("good features", status_with(3, 1), VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    virtio_set_features(&v, 0, 0);
    check_uint("are final", virtio_features(&v, 0), 3);
    check_uint("features that are not offered", status_with(4, 1), 0);
    check_uint("a legacy driver", status_with(3, 0), 0);
    check_uint("features that the device refuses", status_with(2, 1), 0);
    check_uint("never started", seen.starts, 0);
}

static void test_status(void)
{
    make_ready();
    check_uint("ready", virtio_status(&v), READY);
    check_uint("started once", seen.starts, 1);
    virtio_set_status(&v, VIRTIO_ACKNOWLEDGE);
    check_uint("bits stay", virtio_status(&v), READY);
    virtio_set_status(&v, READY | VIRTIO_NEEDS_RESET);
    check_uint("and that one is the device's", virtio_status(&v), READY);
    virtio_notify(&v, 1);
    virtio_notify(&v, 0);
    virtio_notify(&v, 2);
    virtio_notify(&v, 1 | 7 << 16);
    check_uint("notifications of enabled queues", seen.kicks, 2);
    virtio_needs_reset(&v);
    virtio_needs_reset(&v);
    check_uint("a reset is needed", virtio_status(&v), READY | VIRTIO_NEEDS_RESET);
    check_uint("said once", seen.interrupts, 1);
    virtio_notify(&v, 1);
    check_uint("then it is not served", seen.kicks, 2);
    virtio_set_status(&v, 0);
    check_uint("reset", virtio_status(&v), 0);
    check_true("with all queues", !queues[1].enabled && seen.stops == 1 && seen.resets == 1);
}

static void test_bad_queue(void)
{
    begin();
    check_int("a queue before the features", virtio_enable_queue(&v, 1, &err), LUNIK_E_STATE);
    make_ready();
    check_int("a queue that is not there", virtio_enable_queue(&v, 2, &err), LUNIK_E_STATE);
    check_uint("no harm is done", virtio_status(&v), READY);
    place(0);
    queues[0].descriptors = 1;
    check_int("a bad address", virtio_enable_queue(&v, 0, &err), LUNIK_E_INVALID);
    check_uint("needs a reset", virtio_status(&v), READY | VIRTIO_NEEDS_RESET);
    virtio_set_status(&v, 0);
}

/* The device has a request in flight, which it finishes later. */
static void test_slow_reset(void)
{
    struct virtqueue_request *r = NULL;

    make_ready();
    seen.answers = false;
    rig_descriptor(RING_AT, DATA_AT, 1, 0, 0);
    *rig_word(DRIVER_AT + 2) = 1;
    check_uint("a request", virtqueue_pop(&queues[1], &r, 1), 1);
    virtio_set_status(&v, 0);
    check_uint("not reset yet", virtio_status(&v), READY);
    virtio_set_status(&v, 0);
    virtio_set_status(&v, READY);
    check_uint("asked once", seen.stops, 1);
    check_int("no queue now", virtio_enable_queue(&v, 0, &err), LUNIK_E_STATE);
    virtqueue_push(&queues[1], r, 0);
    virtqueue_flush(&queues[1]);
    virtio_queue_stopped(&v, 1);
    check_uint("then it is", virtio_status(&v), 0);
    check_uint("once", seen.resets, 1);
}

static void test_queue_reset(void)
{
    make_ready();
    seen.answers = false;
    virtio_reset_queue(&v, 1);
    check_true("one queue is being reset", virtio_queue_resetting(&v, 1));
    virtio_notify(&v, 1);
    check_uint("and not served", seen.kicks, 0);
    virtio_reset_queue(&v, 1);
    virtio_queue_stopped(&v, 1);
    virtio_queue_stopped(&v, 1);
    check_true("done", !virtio_queue_resetting(&v, 1) && !queues[1].enabled && seen.stops == 1);
    check_uint("the device goes on", virtio_status(&v), READY);
    place(1);
    check_int("the queue as well", virtio_enable_queue(&v, 1, &err), 0);
    check_uint("it is served at once", seen.kicks, 1);
    virtio_reset_queue(&v, 1);
    virtio_set_status(&v, 0);
    check_uint("a reset waits for that of a queue", virtio_status(&v), READY);
    virtio_queue_stopped(&v, 1);
    check_uint("and ends with it", virtio_status(&v), 0);
    virtio_reset_queue(&v, 0);
    check_uint("not without the feature", seen.stops, 2);
}

static void test_config(void)
{
    make_ready();
    memcpy(config, "\1\2\3\4\5\6", CONFIG);
    check_uint("config", virtio_read_config(&v, 0, 4), 0x04030201);
    check_uint("config: up to the end", virtio_read_config(&v, 4, 4), 0x0605);
    check_uint("config: beyond", virtio_read_config(&v, UINT32_MAX, 8), 0);
    virtio_write_config(&v, 5, 4, 0xaabb);
    check_true("config: written", config[5] == 0xbb && seen.configured == 1 && seen.last == 5);
    virtio_write_config(&v, 6, 1, 1);
    check_uint("config: not beyond", seen.configured, 1);
    virtio_config_changed(&v);
    check_true("config: another generation", v.generation == 1 && seen.interrupts == 1);
    virtio_set_status(&v, 0);
    virtio_config_changed(&v);
    check_uint("config: no interrupt without a driver", seen.interrupts, 1);
}

/* ---- state ---------------------------------------------------------------------------------- */

struct board {
    struct virtio virtio;
};

static const lunik_state_field board_fields[] = {
    LUNIK_STATE_STRUCT(struct board, virtio, &virtio_state), {0}};
static const lunik_state_table board_state = {
    .name = "board", .version = 1, .size = sizeof(struct board), .fields = board_fields};
static const lunik_type board_type = {
    .name = "board", .doc = "Is virtio.", .size = sizeof(struct board), .state = &board_state};

static void test_state(void)
{
    lunik_field props[] = {LUNIK_FIELD_STRING("id", "board")};
    lunik_state_buffer saved = {0};
    struct board *board;
    lunik_object *o;

    must("type", lunik_type_add(rt, &board_type, &err));
    must("board", lunik_object_add(m, "board", props, 1, &o, &err));
    board = lunik_state(o);
    make_ready();
    virtio_config_changed(&v);
    board->virtio = v;
    must("save", lunik_object_save(o, &saved, &err));
    begin();
    board->virtio = v;
    must("load", lunik_object_load(o, saved.data, saved.size, &err));
    check_uint("state: the status", virtio_status(&board->virtio), READY);
    check_uint("state: the features", virtio_features(&board->virtio, 1), 0x101);
    check_uint("state: the generation", board->virtio.generation, 1);
    board->virtio.offered = VIRTIO_F_VERSION_1;
    check_int("state: not on another device", lunik_object_load(o, saved.data, saved.size, &err),
              LUNIK_E_INVALID);
    check_contains("state: because of a feature", err.message, "features 0x10100000001");
    board->virtio.stopping = 1;
    check_int("state: not in a reset", lunik_object_load(o, saved.data, saved.size, &err),
              LUNIK_E_STATE);
    lunik_state_buffer_free(&saved);
    check_int("state: nor saved", lunik_object_save(o, &saved, &err), LUNIK_E_STATE);
    virtqueue_reset(&queues[1]);
}

int main(void)
{
    new_runtime();
    rig_open();
    for (unsigned i = 0; i < QUEUES; i++)
        must("queue", virtqueue_init(&queues[i], dma, SIZE, 4, &err));
    test_features();
    test_status();
    test_bad_queue();
    test_slow_reset();
    test_queue_reset();
    test_config();
    test_state();
    for (unsigned i = 0; i < QUEUES; i++)
        virtqueue_fini(&queues[i]);
    rig_close();
    lunik_runtime_free(rt);
    return check_result();
}
