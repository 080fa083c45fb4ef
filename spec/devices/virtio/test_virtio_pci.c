/* test_virtio_pci.c: virtio devices on PCI as a driver sees them: capabilities, negotiation, queues
 * of both kinds, interrupts, resets, hostile accesses, saved state, on the loop and on an iothread.
 */
#include "pci_rig.h"
#include "virtio_echo.h"
#include "virtio_pci_driver.h"

enum { AT = PCI_DEVFN(5, 0), QUEUES = ECHO_QUEUES, FEATURE = ECHO_FEATURE, NO_VECTOR = 0xffff };
#define MODERN VP_VERSION_1
#define RESET  (UINT64_C(1) << 40)

static lunik_error err;
static struct rig rig;
static struct vp d;
static lunik_object *echo;

/* ---- the machine ---------------------------------------------------------------------------- */

/* options: "packed", "slow", "iothread". */
static void begin(const char *options)
{
    bool slow = strstr(options, "slow");
    lunik_field props[8] = {LUNIK_FIELD_STRING("id", "echo"), LUNIK_FIELD_STRING("bus", "host"),
                            LUNIK_FIELD_STRING("addr", "5"), LUNIK_FIELD_BOOL("packed", true),
                            LUNIK_FIELD_BOOL("slow", slow)};
    const lunik_field thread[] = {LUNIK_FIELD_STRING("id", "io")};
    unsigned count = 5;

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    must("echo type", lunik_type_add(rig.rt, &echo_type, &err), &err);
    must("slow type", lunik_type_add(rig.rt, &slow_type, &err), &err);
    if (strstr(options, "iothread")) {
        must("iothread", lunik_object_add(rig.m, "iothread", thread, 1, NULL, &err), &err);
        props[count++] = LUNIK_FIELD_STRING("iothread", "io");
    }
    must("echo", lunik_device_add(rig.m, slow ? "slow-echo" : "echo", props, count, &echo, &err),
         &err);
    vp_memory(&rig);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
}

static void end(void)
{
    rig_close(&rig);
}

static void put_data(unsigned queue, uint64_t value)
{
    vp_store(&d, vp_data(queue), 8, value);
    vp_store(&d, vp_data(queue) + 0x1000, 8, 0);
}

static uint64_t answer_in(unsigned queue)
{
    return load(&rig, vp_data(queue) + 0x1000, 8);
}

/* Sends 8 bytes and checks what comes back. */
static void check_echo(const char *name, unsigned queue)
{
    uint32_t written = 0;

    put_data(queue, 0x1122334455667788);
    vp_send(&d, queue, 8, 8);
    vp_kick(&d, queue);
    check_true(name, vp_wait_used(&d, queue, &written));
    check_uint("  bytes", written, 8);
    check_uint("  data", answer_in(queue), ~UINT64_C(0x1122334455667788));
}

/* ---- identity and registers ----------------------------------------------------------------- */

static void test_identity(void)
{
    begin("");
    check_uint("vendor and device", vp_config(&d, 0, 4), 0x107f1af4);
    check_uint("subsystem", vp_config(&d, LUNIK_PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    check_uint("revision and class", vp_config(&d, LUNIK_PCI_REVISION, 4), 0xff000001);
    check_uint("BAR 4: 64 bits, prefetchable", vp_config(&d, LUNIK_PCI_BAR0 + 16, 4) & 15, 12);
    check_uint("common", d.areas[1], 0);
    check_uint("notifications", d.areas[2], 0x3000);
    check_uint("multiplier", d.multiplier, 4);
    check_uint("ISR", d.areas[3], 0x1000);
    check_uint("device", d.areas[4], 0x2000);
    check_true("the window", d.window);
    check_true("MSI-X", vp_capability(&d, 0, LUNIK_PCI_CAP_MSIX));
    check_uint("vectors", vp_config(&d, vp_capability(&d, 0, LUNIK_PCI_CAP_MSIX) + 2, 2), QUEUES);
    check_uint("queues", vp_get(&d, 1, 0x12, 2), QUEUES);
    check_uint("offered", vp_offered(&d), MODERN | VP_PACKED | RESET | 3 << 28 | FEATURE);
    check_uint("nothing beyond the registers", vp_get(&d, 1, 0x800, 8), 0);
    end();
}

static void test_negotiation(void)
{
    begin("");
    check_uint("legacy", vp_negotiate(&d, FEATURE), 3);
    check_uint("not offered", vp_negotiate(&d, MODERN | 2), 3);
    check_uint("modern", vp_negotiate(&d, MODERN | FEATURE), 11);
    check_uint("ready", vp_start(&d, MODERN, QUEUES), VP_READY);
    check_uint("started", ((struct echo *)lunik_state(echo))->starts, 1);
    check_true("reset", vp_reset(&d));
    check_uint("no vector", vp_get(&d, 1, 0x10, 2), NO_VECTOR);
    vp_set(&d, 1, 0x16, 2, QUEUES);
    check_uint("no such queue: size", vp_get(&d, 1, 0x18, 2), 0);
    check_uint("  vector", vp_get(&d, 1, 0x1a, 2), NO_VECTOR);
    vp_set(&d, 1, 0x16, 2, 0);
    check_uint("size of a queue", vp_get(&d, 1, 0x18, 2), 64);
    check_uint("its notifications", vp_get(&d, 1, 0x1e, 2), 0);
    vp_set_address(&d, 0x20, 0x1122334455667000);
    check_uint("address, a half", vp_get(&d, 1, 0x24, 4), 0x11223344);
    check_uint("address", vp_get(&d, 1, 0x20, 8), 0x1122334455667000);
    vp_start(&d, MODERN, 1);
    vp_set(&d, 1, 0x16, 2, 0);
    vp_set(&d, 1, 0x18, 2, 4);
    vp_set_address(&d, 0x20, 0);
    check_uint("an enabled queue keeps its size", vp_get(&d, 1, 0x18, 2), VP_SIZE);
    check_uint("  and address", vp_get(&d, 1, 0x20, 8), vp_ring(0));
    end();
}

static void test_device_config(void)
{
    struct echo *s;

    begin("");
    s = lunik_state(echo);
    vp_set(&d, 4, 0, 4, 0x44332211);
    vp_set(&d, 4, 4, 2, 0x6655);
    check_uint("device configuration", vp_get(&d, 4, 0, 8), 0x665544332211);
    check_uint("a byte of it", vp_get(&d, 4, 3, 1), 0x44);
    check_uint("the device notices", s->configured, 6);
    vp_start(&d, MODERN, 0);
    virtio_config_changed(&s->pci.virtio);
    check_uint("generation", vp_get(&d, 1, 0x15, 1), 1);
    check_true("the pin", vp_pin(&d));
    check_uint("cause", vp_get(&d, 3, 0, 1), 2);
    check_true("the pin is low", !vp_pin(&d));
    end();
}

/* ---- queues --------------------------------------------------------------------------------- */

static void test_queues(const char *options, uint64_t features)
{
    begin(options);
    vp_start(&d, MODERN | features, QUEUES);
    for (unsigned i = 0; i < 20; i++)
        check_echo(features ? "packed" : "split", i % QUEUES);
    put_data(0, 1);
    vp_send(&d, 0, 8, 8);
    vp_send(&d, 0, 0, 8);
    check_true("reset", vp_reset(&d));
    vp_start(&d, MODERN | features, QUEUES);
    check_echo("after it", 1);
    end();
}

/* A request that is there before the driver is ready, and one before the bus-master bit is set. */
static void test_late(const char *options)
{
    uint32_t written;

    begin(options);
    vp_negotiate(&d, MODERN);
    vp_enable(&d, 0, NO_VECTOR);
    put_data(0, 5);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 5);
    check_true("not before it is ready", !vp_used(&d, 0, &written));
    vp_set(&d, 1, 0x14, 1, VP_READY);
    check_true("then it is served", vp_wait_used(&d, 0, &written));
    vp_set_config(&d, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 5);
    check_true("no bus master", !vp_used(&d, 0, &written));
    vp_set_config(&d, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
    check_true("bus master", vp_wait_used(&d, 0, &written));
    end();
}

static void test_queue_reset(const char *options)
{
    uint32_t written;

    begin(options);
    vp_start(&d, MODERN | RESET, QUEUES);
    check_true("the answer to one request", strstr(options, "slow") || (check_echo("echo", 0), 1));
    put_data(0, 7);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    for (unsigned i = 0; i < 5; i++)
        lunik_run_timeout(rig.rt, 1);
    vp_set(&d, 1, 0x16, 2, 0);
    vp_set(&d, 1, 0x3a, 2, 1);
    check_true("reset of a queue", vp_wait(&d, 0x3a, 2, 0));
    check_uint("it is disabled", vp_get(&d, 1, 0x1c, 2), 0);
    check_uint("the device goes on", vp_status(&d), VP_READY);
    check_true("what was in flight is done", vp_used(&d, 0, &written));
    check_uint("enabled again", vp_enable(&d, 0, 1), 1);
    if (!strstr(options, "slow")) {
        check_echo("it works", 0);
        check_echo("and the other one", 1);
    }
    end();
}

static void test_broken(const char *options)
{
    begin(options);
    vp_start(&d, MODERN, QUEUES);
    vp_descriptor(&d, vp_ring(0), vp_data(0), 8, 1, 0); /* a loop */
    vp_show(&d, vp_ring(0) + 0x1002, 1);
    vp_kick(&d, 0);
    check_true("a broken queue needs a reset", vp_wait(&d, 0x14, 1, VP_READY | 64));
    vp_start(&d, MODERN, QUEUES);
    check_uint("which helps", vp_status(&d), VP_READY);
    check_echo("it works again", 0);
    vp_set(&d, 1, 0x16, 2, 1);
    vp_reset(&d);
    vp_negotiate(&d, MODERN);
    vp_set(&d, 1, 0x16, 2, 1);
    vp_set_address(&d, 0x20, 1);
    vp_set(&d, 1, 0x1c, 2, 1);
    check_uint("a bad address", vp_status(&d), 11 | 64);
    check_uint("is not enabled", vp_get(&d, 1, 0x1c, 2), 0);
    end();
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static void wait_msi(uint64_t count)
{
    for (unsigned i = 0; i < 2000 && lunik_msi_count(rig.m) < count; i++)
        lunik_run_timeout(rig.rt, 1);
}

static void test_msix(const char *options)
{
    uint64_t before;
    unsigned at;

    begin(options);
    before = lunik_msi_count(rig.m);
    vp_msix(&d, QUEUES + 1);
    vp_start(&d, MODERN, QUEUES);
    check_echo("queue 0", 0);
    wait_msi(before + 1);
    check_uint("a message", lunik_msi_count(rig.m), before + 1);
    check_true("not the pin", !vp_pin(&d) && !vp_get(&d, 3, 0, 1));
    check_echo("queue 1", 1);
    wait_msi(before + 2);
    check_uint("another one", lunik_msi_count(rig.m), before + 2);
    vp_store(&d, VP_MSIX + 16 + 12, 4, 1);
    check_echo("masked", 0);
    lunik_run_timeout(rig.rt, 5);
    check_uint("stays here", lunik_msi_count(rig.m), before + 2);
    check_uint("pending", load(&rig, VP_MSIX + 0x800, 8), 2);
    vp_store(&d, VP_MSIX + 16 + 12, 4, 0);
    check_uint("then it comes", lunik_msi_count(rig.m), before + 3);
    vp_set(&d, 1, 0x1a, 2, QUEUES + 1);
    check_uint("a vector that is not there", vp_get(&d, 1, 0x1a, 2), NO_VECTOR);
    at = vp_capability(&d, 0, LUNIK_PCI_CAP_MSIX);
    vp_set_config(&d, at + 2, 2, 0);
    check_echo("MSI-X off", 0);
    for (unsigned i = 0; i < 2000 && !vp_pin(&d); i++)
        lunik_run_timeout(rig.rt, 1);
    check_true("the pin", vp_pin(&d));
    check_uint("cause", vp_get(&d, 3, 0, 1), 1);
    check_uint("is read once", vp_get(&d, 3, 0, 1), 0);
    check_uint("no message", lunik_msi_count(rig.m), before + 3);
    end();
}

/* ---- configuration space -------------------------------------------------------------------- */

static uint32_t window_get(uint32_t offset, uint32_t size)
{
    vp_set_config(&d, d.window + 4, 1, 4);
    vp_set_config(&d, d.window + 8, 4, offset);
    vp_set_config(&d, d.window + 12, 4, size);
    return vp_config(&d, d.window + 16, size <= 4 ? size : 4);
}

static void test_window(void)
{
    uint32_t written;

    begin("");
    vp_set_config(&d, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MASTER);
    check_uint("no BAR is needed", window_get(0x12, 2), QUEUES);
    vp_set_config(&d, d.window + 8, 4, 0x2000);
    vp_set_config(&d, d.window + 12, 4, 1);
    vp_set_config(&d, d.window + 16, 1, 0xa5);
    check_uint("written", ((struct echo *)lunik_state(echo))->config[0], 0xa5);
    check_uint("  and one byte", ((struct echo *)lunik_state(echo))->configured, 1);
    vp_set_config(&d, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY | LUNIK_PCI_COMMAND_MASTER);
    vp_start(&d, MODERN, 1);
    put_data(0, 3);
    vp_send(&d, 0, 8, 8);
    vp_set_config(&d, d.window + 8, 4, 0x3000);
    vp_set_config(&d, d.window + 12, 4, 2);
    vp_set_config(&d, d.window + 16, 2, 0);
    check_true("a notification", vp_wait_used(&d, 0, &written));
    window_get(0x12, 3);
    window_get(0x13, 2);
    window_get(UINT32_MAX, 4);
    window_get(0, UINT32_MAX);
    vp_set_config(&d, d.window + 4, 1, 0);
    vp_set_config(&d, d.window + 16, 4, 0);
    check_uint("hostile ones do nothing", vp_status(&d), VP_READY);
    end();
}

static void test_function_reset(const char *options)
{
    unsigned at;

    begin(options);
    vp_start(&d, MODERN, QUEUES);
    check_echo("before", 0);
    at = vp_capability(&d, 0, LUNIK_PCI_CAP_FEATURES);
    vp_set_config(&d, at + 4, 1, 1);
    check_uint("the function is reset", vp_config(&d, LUNIK_PCI_COMMAND, 2), 0);
    vp_probe(&d, &rig, AT);
    check_true("with the device", vp_wait(&d, 0x14, 1, 0));
    vp_start(&d, MODERN, QUEUES);
    check_echo("after", 0);
    end();
}

/* ---- machine states ------------------------------------------------------------------------- */

static void test_pause(const char *options)
{
    uint32_t written;

    begin(options);
    vp_start(&d, MODERN, QUEUES);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    put_data(0, 9);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 5);
    check_true("a paused machine serves nothing", !vp_used(&d, 0, &written));
    must("start", lunik_machine_start(rig.m, &err), &err);
    if (!strstr(options, "slow"))
        check_true("then it does", vp_wait_used(&d, 0, &written));
    for (unsigned i = 0; i < 5; i++)
        lunik_run_timeout(rig.rt, 1);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    check_uint("a reset of the machine", vp_status(&d), 0);
    end();
}

static void test_state(const char *options)
{
    lunik_state_buffer saved = {0};
    uint32_t written;

    begin(options);
    vp_msix(&d, QUEUES + 1);
    vp_start(&d, MODERN | VP_PACKED, QUEUES);
    for (unsigned i = 0; i < 5; i++)
        check_echo("before", 0);
    put_data(0, UINT64_C(0x0102030405060708));
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    vp_send(&d, 0, 8, 8);
    must("save", lunik_object_save(echo, &saved, &err), &err);
    vp_set(&d, 1, 0x14, 1, 0);
    check_uint("reset at once, at rest", vp_status(&d), 0);
    must("load", lunik_object_load(echo, saved.data, saved.size, &err), &err);
    check_uint("status", vp_status(&d), VP_READY);
    vp_set(&d, 1, 0x16, 2, 1);
    check_uint("vector", vp_get(&d, 1, 0x1a, 2), 2);
    must("start", lunik_machine_start(rig.m, &err), &err);
    check_true("what was in the queue is served", vp_wait_used(&d, 0, &written));
    check_uint("  data", answer_in(0), ~UINT64_C(0x0102030405060708));
    check_echo("and what follows", 0);
    lunik_state_buffer_free(&saved);
    end();
}

/* With a request in flight, where the device keeps it. */
static void test_removal(const char *options)
{
    lunik_field props[] = {LUNIK_FIELD_STRING("id", "other"), LUNIK_FIELD_STRING("bus", "host"),
                           LUNIK_FIELD_STRING("addr", "5")};

    begin(options);
    vp_start(&d, MODERN, QUEUES);
    put_data(0, 1);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 5);
    check_int("a taken address", lunik_device_add(rig.m, "echo", props, 3, NULL, &err),
              LUNIK_E_EXISTS);
    check_int("a bus address", lunik_device_add(rig.m, "echo", props, 2, NULL, &err), 0);
    must("removal", lunik_device_del(rig.m, "echo", &err), &err);
    for (unsigned i = 0; i < 100 && lunik_object_find(rig.m, "echo"); i++)
        lunik_run_timeout(rig.rt, 1);
    check_true("gone", !lunik_object_find(rig.m, "echo"));
    check_uint("from the bus", vp_config(&d, 0, 4), UINT32_MAX);
    check_int("its address is free", lunik_device_add(rig.m, "slow-echo", props, 3, NULL, &err),
              LUNIK_E_EXISTS);
    props[0] = (lunik_field)LUNIK_FIELD_STRING("id", "third");
    check_int("for another one", lunik_device_add(rig.m, "slow-echo", props, 3, &echo, &err), 0);
    vp_probe(&d, &rig, AT);
    vp_start(&d, MODERN, QUEUES);
    vp_send(&d, 0, 8, 8);
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 5);
    end(); /* with what is in flight */
}

static void test_all(const char *options)
{
    test_queues(options, 0);
    test_queues(options, VP_PACKED);
    test_late(options);
    test_broken(options);
    test_msix(options);
    test_function_reset(options);
    test_state(options);
}

int main(void)
{
    static const char *const kinds[] = {"", "iothread", "slow", "slow iothread"};

    test_identity();
    test_negotiation();
    test_device_config();
    test_window();
    test_all("");
    test_all("iothread");
    for (unsigned i = 0; i < 4; i++) {
        test_queue_reset(kinds[i]);
        test_pause(kinds[i]);
        test_removal(kinds[i]);
    }
    return check_result();
}
