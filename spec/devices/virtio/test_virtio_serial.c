/* test_virtio_serial.c: the console device and its ports as a driver and character devices see
 * them: messages, data both ways, back-pressure, ports that come and go, hostile requests, state.
 */
#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

enum { QUEUES = 8, CONTROL_IN = 2, CONTROL_OUT = 3, MULTIPORT = 2, PORT1_IN = 4, PORT1_OUT = 5 };
enum { READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME };

static lunik_error err;
static struct nic n;

/* ---- a character device --------------------------------------------------------------------- */

/* Takes what fits into `room`. */
struct stub {
    const lunik_chardev_front *front;
    char taken[4096];
    size_t size, room;
};

static int stub_attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *e)
{
    ((struct stub *)lunik_state(o))->front = front;
    return 0;
}

static size_t stub_write(lunik_object *o, const uint8_t *data, size_t size)
{
    struct stub *s = lunik_state(o);

    if (size > s->room)
        size = s->room;
    memcpy(s->taken + s->size, data, size);
    s->size += size;
    s->room -= size;
    return size;
}

static unsigned accepts;

static void stub_accept(lunik_object *o)
{
    (void)o;
    accepts++;
}

static const lunik_chardev_ops stub_ops = {
    .attach = stub_attach, .write = stub_write, .accept_input = stub_accept};
static const lunik_iface stub_ifaces[] = {LUNIK_IFACE(chardev, &stub_ops), {0}};
static const lunik_type stub_type = {.name = "stub",
                                     .doc = "Takes so much.",
                                     .size = sizeof(struct stub),
                                     .ifaces = stub_ifaces,
                                     .state = &lunik_state_none};
static struct stub *stubs[2];

/* ---- the machine ---------------------------------------------------------------------------- */

static unsigned opened, closed;

static void on_event(void *opaque, const lunik_event *event)
{
    (void)opaque;
    if (strcmp(event->name, "port-changed"))
        return;
    opened += event->fields[1].value.boolean;
    closed += !event->fields[1].value.boolean;
}

static lunik_event_sub events = {.fn = on_event};

static int add_port(const char *type, const char *id, const char *chardev, lunik_field more)
{
    lunik_field props[5] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_STRING("bus", "serial0")};
    size_t count = 2;

    if (chardev)
        props[count++] = LUNIK_FIELD_STRING("chardev", chardev);
    if (more.name)
        props[count++] = more;
    return lunik_device_add(n.rig.m, type, props, count, NULL, &err);
}

static void add_stub(unsigned i, const char *id)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", id)};
    lunik_object *o;

    must(id, lunik_object_add(n.rig.m, "stub", props, 1, &o, &err), &err);
    stubs[i] = lunik_state(o);
    stubs[i]->room = sizeof(stubs[i]->taken);
}

static void begin(void)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "serial0"),
                                 LUNIK_FIELD_STRING("bus", "host"), LUNIK_FIELD_STRING("addr", "5"),
                                 LUNIK_FIELD_UINT("max_ports", 3)};
    lunik_object *ram;

    memset(&n, 0, sizeof(n));
    opened = closed = accepts = 0;
    rig_make(&n.rig, LUNIK_ACCEL_NONE, false);
    lunik_event_subscribe(n.rig.m, &events);
    must("type", lunik_type_add(n.rig.rt, &stub_type, &err), &err);
    vp_memory(&n.rig);
    add_stub(0, "c0");
    add_stub(1, "c1");
    must("serial", lunik_device_add(n.rig.m, "virtio-serial-pci", props, 4, &n.card, &err), &err);
    must("console", add_port("virtconsole", "console0", "c0", (lunik_field){0}), &err);
    must("port",
         add_port("virtserialport", "port1", "c1", LUNIK_FIELD_STRING("name", "org.lunik.test")),
         &err);
    must("start", lunik_machine_start(n.rig.m, &err), &err);
    ram = lunik_object_find(n.rig.m, "ram");
    n.ram = lunik_ram_host(lunik_memory_backend_iface(ram)->ram(ram));
    vp_probe(&n.d, &n.rig, NIC_AT);
}

static void end(void)
{
    nic_close(&n);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void say(uint32_t id, uint16_t event, uint16_t value)
{
    const uint32_t size = 8;
    const uint16_t read = 0;
    uint32_t written;
    unsigned slot;

    while (nic_used(&n, CONTROL_OUT, &written) >= 0)
        ;
    slot = nic_offer(&n, CONTROL_OUT, &size, &read, 1);
    memcpy(nic_data(&n, CONTROL_OUT, slot), &id, 4);
    memcpy(nic_data(&n, CONTROL_OUT, slot) + 4, &event, 2);
    memcpy(nic_data(&n, CONTROL_OUT, slot) + 6, &value, 2);
    nic_kick(&n, CONTROL_OUT);
}

static void give(unsigned queue, uint32_t size)
{
    nic_buffer(&n, queue, size);
    nic_kick(&n, queue);
}

/* Checks the next message. */
static void hear(const char *name, uint32_t id, uint16_t event, uint16_t value, const char *text)
{
    uint32_t written = 0, got_id = 99;
    uint16_t got[2] = {99, 99};
    int slot = nic_wait_used(&n, CONTROL_IN, &written);
    const uint8_t *m = nic_data(&n, CONTROL_IN, slot < 0 ? 0 : (unsigned)slot);

    if (slot >= 0) {
        memcpy(&got_id, m, 4);
        memcpy(got, m + 4, 4);
    }
    check_true(name, got_id == id && got[0] == event && got[1] == value &&
                         written == 8 + strlen(text) && !memcmp(m + 8, text, strlen(text)));
    if (slot >= 0)
        give(CONTROL_IN, 200);
}

static void hear_nothing(const char *name)
{
    uint32_t written;

    lunik_run_timeout(n.rig.rt, 10);
    check_true(name, nic_used(&n, CONTROL_IN, &written) < 0);
}

/* Up to both ports being there. */
static void greet(void)
{
    nic_start(&n, MULTIPORT, QUEUES);
    for (unsigned i = 0; i < 4; i++)
        nic_buffer(&n, CONTROL_IN, 200);
    nic_kick(&n, CONTROL_IN);
    say(0, READY, 1);
    hear("messages: the console is there", 0, ADD, 1, "");
    hear("messages: the port is there", 1, ADD, 1, "");
    say(0, PORT_READY, 1);
    hear("messages: it is a console", 0, CONSOLE, 1, "");
    hear("messages: which is open", 0, OPEN, 1, "");
    say(1, PORT_READY, 1);
    hear("messages: the port has a name", 1, NAME, 1, "org.lunik.test");
    hear("messages: and is open", 1, OPEN, 1, "");
}

static void test_messages(void)
{
    const uint32_t small = 5;
    const uint16_t read = 0;

    begin();
    check_uint("vendor and device", vp_config(&n.d, 0, 4), 0x10431af4);
    check_uint("ports", vp_get(&n.d, 4, 4, 4), 3);
    check_uint("offered", vp_offered(&n.d) & 0xff, 6);
    greet();
    say(2, PORT_READY, 1);
    say(99, OPEN, 1);
    say(0xffffffff, PORT_READY, 1);
    nic_offer(&n, CONTROL_OUT, &small, &read, 1);
    nic_kick(&n, CONTROL_OUT);
    hear_nothing("messages: about ports that are not there mean nothing");
    check_uint("messages: the device goes on", vp_status(&n.d), VP_READY);
    end();
}

static void test_no_room(void)
{
    begin();
    nic_start(&n, MULTIPORT, QUEUES);
    say(0, READY, 1);
    say(1, PORT_READY, 1);
    hear_nothing("no room: nothing is sent");
    give(CONTROL_IN, 200);
    hear("no room: then the first one", 0, ADD, 1, "");
    hear("no room: the second one", 1, ADD, 1, "");
    hear("no room: the third one", 1, NAME, 1, "org.lunik.test");
    end();
}

/* ---- data ----------------------------------------------------------------------------------- */

static void write_out(unsigned queue, const char *text)
{
    const uint32_t lengths[] = {2, (uint32_t)strlen(text) - 2};
    const uint16_t flags[] = {0, 0};
    unsigned slot = nic_offer(&n, queue, lengths, flags, 2);

    memcpy(nic_data(&n, queue, slot), text, 2);
    memcpy(nic_data(&n, queue, n.queues[queue].chain[slot][1]), text + 2, strlen(text) - 2);
    nic_kick(&n, queue);
}

static void test_data(void)
{
    uint32_t written = 0;
    int slot;

    begin();
    greet();
    write_out(1, "console");
    write_out(PORT1_OUT, "channel");
    check_true("data: both are returned",
               nic_wait_used(&n, 1, &written) >= 0 && nic_wait_used(&n, PORT1_OUT, &written) >= 0);
    check_string("data: of the console", stubs[0]->taken, "console");
    check_string("data: of the port", stubs[1]->taken, "channel");
    check_uint("data: nothing can come without buffers",
               stubs[1]->front->can_receive(stubs[1]->front->opaque), 0);
    give(PORT1_IN, 6);
    give(PORT1_IN, 6);
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("data: nor before the port is open",
               stubs[1]->front->can_receive(stubs[1]->front->opaque), 0);
    say(1, OPEN, 1);
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("data: an event", opened, 1);
    check_true("data: the character device is asked", accepts);
    check_uint("data: then some", stubs[1]->front->can_receive(stubs[1]->front->opaque), 6);
    stubs[1]->front->receive(stubs[1]->front->opaque, (const uint8_t *)"0123456789", 10);
    slot = nic_wait_used(&n, PORT1_IN, &written);
    check_true("data: the first buffer",
               slot >= 0 && written == 6 && !memcmp(nic_data(&n, PORT1_IN, slot), "012345", 6));
    slot = nic_wait_used(&n, PORT1_IN, &written);
    check_true("data: and the rest",
               slot >= 0 && written == 4 && !memcmp(nic_data(&n, PORT1_IN, slot), "6789", 4));
    say(1, OPEN, 0);
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("data: closed", closed, 1);
    check_uint("data: bytes that were received",
               nic_get(lunik_object_find(n.rig.m, "port1"), "received"), 10);
    end();
}

/* What the character device does not take waits, the rest of a request too. */
static void test_pressure(void)
{
    uint32_t written;

    begin();
    greet();
    stubs[1]->room = 4;
    write_out(PORT1_OUT, "channel");
    write_out(PORT1_OUT, "more");
    lunik_run_timeout(n.rig.rt, 10);
    check_true("pressure: the request waits", nic_used(&n, PORT1_OUT, &written) < 0);
    check_uint("pressure: a part is taken", stubs[1]->size, 4);
    nic_kick(&n, PORT1_OUT);
    lunik_run_timeout(n.rig.rt, 10);
    check_uint("pressure: no more for a kick", stubs[1]->size, 4);
    stubs[1]->room = 100;
    stubs[1]->front->writable(stubs[1]->front->opaque);
    check_true("pressure: then all is", nic_wait_used(&n, PORT1_OUT, &written) >= 0 &&
                                            nic_wait_used(&n, PORT1_OUT, &written) >= 0);
    check_string("pressure: in order, and once", stubs[1]->taken, "channelmore");
    end();
}

static void test_single_port(void)
{
    uint32_t written;

    begin();
    nic_start(&n, 0, 2);
    write_out(1, "console");
    check_true("a driver without ports: output", nic_wait_used(&n, 1, &written) >= 0);
    check_string("  reaches the console", stubs[0]->taken, "console");
    give(0, 8);
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("  and input comes", stubs[0]->front->can_receive(stubs[0]->front->opaque), 8);
    vp_set(&n.d, 4, 8, 4, '!');
    check_string("an emergency write", stubs[0]->taken, "console!");
    end();
}

/* ---- ports that come and go ----------------------------------------------------------------- */

static void test_hotplug(void)
{
    uint32_t written;

    begin();
    greet();
    check_int("hotplug: a port comes",
              add_port("virtserialport", "port2", NULL, LUNIK_FIELD_STRING("name", "second")), 0);
    hear("  the driver hears of it", 2, ADD, 1, "");
    say(2, PORT_READY, 1);
    hear("  its name", 2, NAME, 1, "second");
    check_int("hotplug: it goes", lunik_device_del(n.rig.m, "port2", &err), 0);
    hear("  the driver hears of that", 2, REMOVE, 1, "");
    write_out(7, "nowhere");
    check_true("hotplug: what is sent to it is lost", nic_wait_used(&n, 7, &written) >= 0);
    check_int("hotplug: another one",
              add_port("virtserialport", "port3", NULL, LUNIK_FIELD_STRING("name", "second")), 0);
    hear("  has its number", 2, ADD, 1, "");
    end();
}

/* One that a program of the guest has open, and whose output waits. */
static void test_removal(void)
{
    uint32_t written;

    begin();
    greet();
    say(1, OPEN, 1);
    stubs[1]->room = 4;
    write_out(PORT1_OUT, "channel");
    lunik_run_timeout(n.rig.rt, 10);
    check_true("removal: output waits", nic_used(&n, PORT1_OUT, &written) < 0);
    check_int("removal: the device stays while it has ports",
              lunik_device_del(n.rig.m, "serial0", &err), LUNIK_E_BUSY);
    check_contains("  and says so", err.message, "'serial0' is in use by 'port1'");
    check_int("removal: an open port goes", lunik_device_del(n.rig.m, "port1", &err), 0);
    hear("  the driver hears of that", 1, REMOVE, 1, "");
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("  it is closed", closed, 1);
    check_true("  its output is lost, not the buffer", nic_wait_used(&n, PORT1_OUT, &written) >= 0);
    check_true("  no more reaches the character device", !stubs[1]->front);
    check_string("  than it took", stubs[1]->taken, "chan");
    end();
}

static void refuse(const char *id, const char *chardev, lunik_field more, const char *text)
{
    check_true(text, add_port("virtserialport", id, chardev, more) < 0);
    check_contains("  says", err.message, text);
}

static void refuse_iothread(void)
{
    const lunik_field io[] = {LUNIK_FIELD_STRING("id", "io")};
    const lunik_field props[] = {LUNIK_FIELD_STRING("bus", "host"),
                                 LUNIK_FIELD_STRING("iothread", "io")};

    must("io", lunik_object_add(n.rig.m, "iothread", io, 1, NULL, &err), &err);
    check_int("options: an iothread",
              lunik_device_add(n.rig.m, "virtio-serial-pci", props, 2, NULL, &err),
              LUNIK_E_INVALID);
    check_contains("  says", err.message, "iothread: 'io' is not possible (want none");
}

static void test_options(void)
{
    begin();
    refuse("p", NULL, LUNIK_FIELD_INT("nr", 0), "nr: '0' is not possible (want 1 to 2)");
    refuse("p", NULL, LUNIK_FIELD_INT("nr", 3), "nr: '3' is not possible");
    refuse("p", NULL, LUNIK_FIELD_INT("nr", 1), "nr: 1 is 'port1'");
    refuse("p", NULL, LUNIK_FIELD_STRING("name", "org.lunik.test"), "is that of 'port1'");
    refuse("p", NULL, LUNIK_FIELD_STRING("name", ""), "name: '' is empty");
    refuse("p", "c1", (lunik_field){0}, "virtserialport: chardev: ");
    check_int("the last one", add_port("virtserialport", "port2", NULL, (lunik_field){0}), 0);
    refuse("p", NULL, (lunik_field){0}, "bus: 'serial0' has no port left of 3");
    refuse_iothread();
    end();
}

/* ---- hostile, state ------------------------------------------------------------------------- */

static void test_hostile(void)
{
    const uint32_t size = 8;
    const uint16_t read = 0;

    begin();
    greet();
    say(1, OPEN, 1);
    lunik_run_timeout(n.rig.rt, 5);
    nic_offer(&n, PORT1_IN, &size, &read, 1);
    nic_kick(&n, PORT1_IN);
    lunik_run_timeout(n.rig.rt, 5);
    check_uint("hostile: a buffer that can't be written to",
               stubs[1]->front->can_receive(stubs[1]->front->opaque), 0);
    check_true("  breaks the device", vp_status(&n.d) & 64);
    check_true("  until it is reset", vp_reset(&n.d));
    check_uint("  which closes the port", closed, 1);
    greet();
    end();
}

static void test_state(void)
{
    lunik_object *port;
    lunik_state_buffer saved = {0}, saved_port = {0};
    uint32_t written;

    begin();
    greet();
    say(1, OPEN, 1);
    stubs[1]->room = 4;
    write_out(PORT1_OUT, "channel");
    lunik_run_timeout(n.rig.rt, 10);
    port = lunik_object_find(n.rig.m, "port1");
    must("pause", lunik_machine_pause(n.rig.m, &err), &err);
    must("save", lunik_object_save(n.card, &saved, &err), &err);
    must("save", lunik_object_save(port, &saved_port, &err), &err);
    vp_set(&n.d, 1, 0x14, 1, 0);
    check_uint("state: a reset closes the port", nic_get(port, "open"), 0);
    must("load", lunik_object_load(n.card, saved.data, saved.size, &err), &err);
    must("load", lunik_object_load(port, saved_port.data, saved_port.size, &err), &err);
    lunik_state_buffer_free(&saved);
    lunik_state_buffer_free(&saved_port);
    stubs[1]->room = 100;
    must("start", lunik_machine_start(n.rig.m, &err), &err);
    check_true("state: the request goes on", nic_wait_used(&n, PORT1_OUT, &written) >= 0);
    check_string("  where it was", stubs[1]->taken, "channel");
    check_uint("state: the port is open", nic_get(port, "open"), 1);
    end();
}

int main(void)
{
    test_messages();
    test_no_room();
    test_data();
    test_pressure();
    test_single_port();
    test_hotplug();
    test_removal();
    test_options();
    test_hostile();
    test_state();
    return check_result();
}
