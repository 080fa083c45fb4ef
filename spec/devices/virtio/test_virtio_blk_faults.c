/*
 * test_virtio_blk_faults.c: the block device in front of a played back end, which fails, takes its
 * time and answers in any order.
 */
#include <errno.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "random.h"
#include "blk_driver.h"
#include "devices/block/block.h"

enum { AT = PCI_DEVFN(5, 0), DISK = 64 << 10, KEPT = 8 };
#define FEATURES (BD_FEATURES & ~UINT64_C(0x1020))

static lunik_error err;
static struct rig rig;
static struct vp d;
static unsigned events;
static char last_reason[64], last_operation[16], last_action[16];
static bool last_nospace;

/* ---- the back end --------------------------------------------------------------------------- */

/* What it does with requests: answers with rc, or keeps them. */
static struct {
    int rc;
    bool keep;
    struct block_request *kept[KEPT];
    unsigned count, flags, submitted, committed;
    struct block_channel *channel;
} played;

static int open_played(lunik_object *o, const struct block_place *place, struct block_channel **out,
                       lunik_error *e)
{
    (void)o, (void)place, (void)e;
    played.channel = calloc(1, sizeof(*played.channel));
    *out = played.channel;
    return 0;
}

static void submit_played(struct block_channel *c, struct block_request *r)
{
    (void)c;
    played.flags = r->flags;
    played.submitted++;
    if (played.keep && played.count < KEPT)
        played.kept[played.count++] = r;
    else
        block_complete(r, played.rc);
}

static void commit_played(struct block_channel *c)
{
    (void)c;
    played.committed++;
}

static void close_played(struct block_channel *c)
{
    free(c);
    played.channel = NULL;
}

/* Answers the request that was kept last. */
static void release(int rc)
{
    block_complete(played.kept[--played.count], rc);
    block_batch_end(played.channel);
}

static int realize_played(lunik_object *o, lunik_error *e)
{
    struct blockdev *dev = lunik_state(o);

    (void)e;
    dev->size = DISK;
    dev->unit = 512;
    return 0;
}

static const lunik_blockdev_ops played_ops = {
    .open = open_played,
    .submit = submit_played,
    .commit = commit_played,
    .close = close_played,
};
static const lunik_iface played_ifaces[] = {LUNIK_IFACE(blockdev, &played_ops), {0}};
static const lunik_type played_type = {
    .name = "blockdev-played",
    .parent = "blockdev",
    .doc = "Does what the test says.",
    .size = sizeof(struct blockdev),
    .ifaces = played_ifaces,
    .realize = realize_played,
    .state = &lunik_state_none,
};

/* ---- the machine ---------------------------------------------------------------------------- */

static void on_event(void *opaque, const lunik_event *event)
{
    (void)opaque;
    if (strcmp(event->name, "block-io-error"))
        return;
    events++;
    for (size_t i = 0; i < event->count; i++) {
        const lunik_field *f = &event->fields[i];

        if (!strcmp(f->name, "reason"))
            snprintf(last_reason, sizeof(last_reason), "%s", f->value.string);
        if (!strcmp(f->name, "nospace"))
            last_nospace = f->value.boolean;
        if (!strcmp(f->name, "action"))
            snprintf(last_action, sizeof(last_action), "%s", f->value.string);
        if (!strcmp(f->name, "operation"))
            snprintf(last_operation, sizeof(last_operation), "%s", f->value.string);
    }
}

static lunik_event_sub event_sub = {.fn = on_event};

static void begin(const char *werror)
{
    const lunik_field disk[] = {LUNIK_FIELD_STRING("id", "disk")};
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "vda"), LUNIK_FIELD_STRING("bus", "host"),
                                 LUNIK_FIELD_STRING("addr", "5"),
                                 LUNIK_FIELD_STRING("drive", "disk"),
                                 LUNIK_FIELD_STRING("werror", werror)};

    memset(&played, 0, sizeof(played));
    events = 0;
    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    must("type", lunik_type_add(rig.rt, &played_type, &err), &err);
    must("disk", lunik_object_add(rig.m, "blockdev-played", disk, 1, NULL, &err), &err);
    must("device", lunik_device_add(rig.m, "virtio-blk-pci", props, 5, NULL, &err), &err);
    event_sub = (lunik_event_sub){.fn = on_event};
    lunik_event_subscribe(rig.m, &event_sub);
    vp_memory(&rig);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    bd_begin(&d,
             lunik_ram_host(lunik_memory_backend_iface(lunik_object_find(rig.m, "ram"))
                                ->ram(lunik_object_find(rig.m, "ram"))),
             FEATURES);
}

static void send_to(unsigned slot, uint32_t type)
{
    bd_prepare(slot, type, slot, type == BD_OUT ? 512 : 0, type == BD_IN ? 512 : 0);
    bd_send(slot);
}

static void run(void)
{
    for (unsigned i = 0; i < 20; i++)
        lunik_run_timeout(rig.rt, 1);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_errors(void)
{
    begin("report");
    played.rc = -EIO;
    check_int("a read that fails", bd_do(BD_IN, 0, 0, 512), BD_IOERR);
    run();
    check_uint("an event", events, 1);
    check_string("  operation", last_operation, "read");
    check_contains("  reason", last_reason, "error");
    check_string("  action", last_action, "report");
    check_true("  nospace", !last_nospace);
    played.rc = -ENOSPC;
    check_int("no space", bd_do(BD_OUT, 0, 512, 0), BD_IOERR);
    check_int("a flush that fails", bd_do(BD_FLUSH, 0, 0, 0), BD_IOERR);
    check_int("discard", bd_space(BD_DISCARD, 0, 1, 0), BD_IOERR);
    run();
    check_uint("few events", events, 1);
    check_uint("the device goes on", vp_status(&d), VP_READY);
    played.rc = 0;
    check_int("as the back end does", bd_do(BD_OUT, 0, 512, 0), BD_OK);
    rig_close(&rig);
    begin("ignore");
    played.rc = -ENOSPC;
    check_int("ignored", bd_do(BD_OUT, 0, 512, 0), BD_OK);
    check_int("not for reads", bd_do(BD_IN, 0, 0, 512), BD_IOERR);
    rig_close(&rig);
}

static void test_flags(void)
{
    begin("report");
    check_int("write", bd_do(BD_OUT, 0, 512, 0), BD_OK);
    check_uint("is cached", played.flags, 0);
    check_int("zeroes", bd_space(BD_ZEROES, 0, 1, 1), BD_OK);
    check_uint("may unmap", played.flags, BLOCK_UNMAP);
    vp_set(&d, 4, 32, 1, 0);
    check_int("write", bd_do(BD_OUT, 0, 512, 0), BD_OK);
    check_uint("is written through", played.flags, BLOCK_FUA);
    check_int("zeroes", bd_space(BD_ZEROES, 0, 1, 0), BD_OK);
    check_uint("as zeroes", played.flags, BLOCK_FUA);
    rig_close(&rig);
}

static void test_order(void)
{
    uint32_t written;

    begin("report");
    played.keep = true;
    for (unsigned i = 0; i < 3; i++)
        send_to(i, i == 1 ? BD_OUT : BD_IN);
    vp_kick(&d, 0);
    run();
    check_uint("three in flight", played.count, 3);
    check_int("none is back", bd_reap(&written), -1);
    release(0);
    check_int("the last one", bd_reap(&written), 2);
    check_true("an interrupt", vp_pin(&d));
    release(-EIO);
    release(0);
    check_int("the second one", bd_reap(&written), 1);
    check_uint("has failed", bd_status(1), BD_IOERR);
    check_int("the first one", bd_reap(&written), 0);
    check_uint("has not", bd_status(0), BD_OK);
    rig_close(&rig);
}

/* A reset of the device or the queue, and a pause, wait for what is in flight. */
static void test_waits(void)
{
    uint32_t written;

    begin("report");
    played.keep = true;
    send_to(0, BD_IN);
    vp_kick(&d, 0);
    run();
    check_uint("in flight", played.count, 1);
    vp_set(&d, 1, 0x14, 1, 0);
    run();
    check_uint("no reset yet", vp_status(&d), VP_READY);
    send_to(1, BD_IN);
    vp_kick(&d, 0);
    run();
    check_uint("nothing new is taken", played.count, 1);
    release(0);
    check_true("reset", vp_wait(&d, 0x14, 1, 0));
    bd_begin(&d, bd.ram, FEATURES);
    send_to(0, BD_IN);
    vp_kick(&d, 0);
    run();
    played.keep = false;
    release(0);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    check_int("it came back", bd_reap(&written), 0);
    send_to(1, BD_IN);
    vp_kick(&d, 0);
    run();
    check_int("nothing is taken in a pause", bd_reap(&written), -1);
    must("resume", lunik_machine_start(rig.m, &err), &err);
    run();
    check_int("then it is", bd_reap(&written), 1);
    rig_close(&rig);
}

/* What is asked of the host together goes to it together, and answers bring new work. */
static void test_batches(void)
{
    uint32_t written;

    begin("report");
    run();
    played.keep = true;
    played.committed = 0;
    for (unsigned i = 0; i < 6; i++)
        send_to(i, BD_IN);
    vp_kick(&d, 0);
    run();
    check_uint("six in flight", played.count, 6);
    check_uint("by one call", played.committed, 1);
    send_to(6, BD_IN);
    release(0);
    check_uint("another one is seen without a kick", played.count, 6);
    check_int("as one comes back", bd_reap(&written), 5);
    while (played.count)
        release(0);
    rig_close(&rig);
}

/* ---- errors that stop the machine ----------------------------------------------------------- */

static void check_stopped(const char *name, unsigned kept)
{
    uint32_t written;

    for (unsigned i = 0; i < 200 && lunik_machine_state(rig.m) == LUNIK_STATE_RUNNING; i++)
        run();
    check_int(name, lunik_machine_state(rig.m), LUNIK_STATE_PAUSED);
    check_int("  with nothing back", bd_reap(&written), -1);
    check_uint("  tried", played.submitted, kept);
    played.submitted = 0;
}

static void go_on(void)
{
    must("start", lunik_machine_start(rig.m, &err), &err);
    run();
}

static void test_stop(void)
{
    uint32_t written;

    begin("enospc");
    played.rc = -EIO;
    check_int("another error is reported", bd_do(BD_OUT, 0, 512, 0), BD_IOERR);
    played.rc = -ENOSPC;
    check_int("so is a read's", bd_do(BD_IN, 0, 0, 512), BD_IOERR);
    run();
    played.submitted = events = 0;
    send_to(0, BD_OUT);
    send_to(1, BD_OUT);
    vp_kick(&d, 0);
    check_stopped("no space stops the machine", 2);
    check_uint("  an event", events, 1);
    check_string("  action", last_action, "stop");
    check_true("  nospace", last_nospace);
    go_on();
    check_stopped("it stops again", 2);
    check_uint("  with an event", events, 2);
    played.rc = 0;
    go_on();
    check_uint("both are done", played.submitted, 2);
    check_int("the first one", bd_reap(&written), 0);
    check_uint("  good", bd_status(0), BD_OK);
    check_int("the second one", bd_reap(&written), 1);
    check_int("it goes on", lunik_machine_state(rig.m), LUNIK_STATE_RUNNING);
    rig_close(&rig);
}

/* Several in flight, which fail while the machine comes to rest. */
static void stop_with_three(void)
{
    begin("stop");
    played.keep = true;
    for (unsigned i = 0; i < 3; i++)
        send_to(i, BD_OUT);
    vp_kick(&d, 0);
    run();
    release(-EIO);
    run();
    release(-EIO);
    release(-EIO);
    check_stopped("three have failed", 3);
    played.keep = false;
}

static void test_stop_state(void)
{
    lunik_state_buffer saved = {0};
    lunik_object *o;
    uint32_t written;

    stop_with_three();
    o = lunik_object_find(rig.m, "vda");
    must("save", lunik_object_save(o, &saved, &err), &err);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    go_on();
    check_uint("a reset drops them", played.submitted, 0);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("load", lunik_object_load(o, saved.data, saved.size, &err), &err);
    vp_probe(&d, &rig, AT);
    go_on();
    check_uint("the state has them", played.submitted, 3);
    for (int i = 2; i >= 0; i--)
        check_int("as they failed", bd_reap(&written), i);
    lunik_state_buffer_free(&saved);
    rig_close(&rig);
}

static void test_stop_ends(void)
{
    stop_with_three();
    vp_set(&d, 1, 0x14, 1, 0);
    check_true("a reset of the device", vp_wait(&d, 0x14, 1, 0));
    go_on();
    check_uint("  drops them", played.submitted, 0);
    rig_close(&rig);
    stop_with_three();
    must("unplug", lunik_device_del(rig.m, "vda", &err), &err);
    go_on();
    must("the disk is free", lunik_object_del(rig.m, "disk", &err), &err);
    rig_close(&rig);
    stop_with_three();
    rig_close(&rig);
}

int main(void)
{
    test_errors();
    test_flags();
    test_order();
    test_waits();
    test_batches();
    test_stop();
    test_stop_state();
    test_stop_ends();
    return check_result();
}
