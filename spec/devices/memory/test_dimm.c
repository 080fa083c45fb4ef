/* test_dimm.c: DIMMs in and out of a machine without vCPUs; the guest's part is played through its
 * ports and memory. */
#include <stdlib.h>

#include "devices/memory/memory_hotplug_chip.h"
#include "lunik_device.h"
#include "transcript.h"

#define GIB    (UINT64_C(1) << 30)
#define MIB    (UINT64_C(1) << 20)
#define WINDOW (4 * GIB)
#define PORT   0xa00

/* ---- a machine ------------------------------------------------------------------------------ */

struct bell {
    unsigned rings, gpe;
};

static void bell_raise(lunik_object *o, unsigned gpe)
{
    struct bell *b = lunik_state(o);

    b->rings++;
    b->gpe = gpe;
}

static const lunik_gpe_ops bell_ops = {.count = 16, .raise = bell_raise};
static const lunik_iface bell_ifaces[] = {LUNIK_IFACE(gpe, &bell_ops), {0}};
static const lunik_type bell_type = {
    .name = "bell", .flags = LUNIK_TYPE_DEVICE, .size = sizeof(struct bell), .ifaces = bell_ifaces};

static const lunik_type impostor_type = {
    .name = "impostor", .flags = LUNIK_TYPE_DEVICE, .size = 1, .hotplug = "memory"};

static lunik_runtime *rt;
static lunik_machine *m;
static struct bell *bell;
static lunik_error err;
static struct transcript events;

static void on_event(void *opaque, const lunik_event *event)
{
    char text[256];

    snprintf(text, sizeof(text), "%s", event->name);
    for (size_t i = 0; i < event->count; i++) {
        const lunik_value *v = &event->fields[i].value;
        size_t at = strlen(text);
        if (!strcmp(event->fields[i].name, "path") || !strcmp(event->fields[i].name, "driver"))
            continue;
        if (v->kind == LUNIK_STRING)
            snprintf(text + at, sizeof(text) - at, " %s", v->string);
        else
            snprintf(text + at, sizeof(text) - at, " 0x%" PRIx64, v->uint);
    }
    note(&events, "%s; ", text);
}

static lunik_event_sub listening = {.fn = on_event};

static void expect_events(const char *name, const char *want)
{
    lunik_deliver_events(rt);
    check_transcript(name, &events, want);
}

#define TEXT LUNIK_FIELD_STRING
#define NUM  LUNIK_FIELD_UINT

static lunik_object *device(const char *driver, const lunik_field *fields, size_t count)
{
    lunik_object *o = NULL;

    err = (lunik_error){0};
    lunik_device_add(m, driver, fields, count, &o, &err);
    return o;
}
#define DEVICE(driver, ...)                                                                        \
    device((driver), (const lunik_field[]){__VA_ARGS__},                                           \
           sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field))

static void backend(const char *id, uint64_t size)
{
    const lunik_field fields[] = {TEXT("id", id), NUM("size", size), TEXT("reserve", "off")};

    if (lunik_object_add(m, "memory-backend-ram", fields, 3, NULL, &err))
        check_string(id, err.message, "a backend");
}

static void build(uint64_t slots, uint64_t limit)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_machine_new(rt, &config, &m, &err))
        abort();
    lunik_event_subscribe(m, &listening);
    bell = lunik_state(DEVICE("bell", TEXT("id", "pm")));
    DEVICE("acpi-memory-hotplug", TEXT("id", "regs"), NUM("slots", slots), TEXT("pm", "pm"));
    if (!DEVICE("device-memory", TEXT("id", "window"), NUM("addr", WINDOW),
                NUM("size", limit + slots * GIB), NUM("slots", slots), NUM("limit", limit),
                TEXT("acpi", "regs")))
        check_string("window", err.message, "");
    for (unsigned i = 1; i <= 6; i++)
        backend((const char[]){'m', (char)('0' + i), 0}, 128 * MIB);
    lunik_deliver_events(rt);
    clear(&events);
}

static void out(unsigned offset, uint32_t value)
{
    lunik_space_store(lunik_machine_io(m), PORT + offset, 4, value);
}

static uint32_t in(unsigned offset, unsigned size)
{
    uint64_t value = 0;

    lunik_space_load(lunik_machine_io(m), PORT + offset, size, &value);
    return (uint32_t)value;
}

static uint64_t get(const char *id, const char *property)
{
    lunik_object *o = lunik_object_find(m, id);
    lunik_value v = {.kind = LUNIK_NIL};

    if (o)
        lunik_object_get(o, property, &v, &err);
    return v.kind == LUNIK_BOOL ? v.boolean : v.kind == LUNIK_NIL ? UINT64_MAX : v.uint;
}

static bool at(uint64_t address, const char *region)
{
    lunik_section section;

    if (!lunik_space_find(lunik_machine_memory(m), address, &section))
        return !region;
    return region && !strcmp(lunik_region_name(section.region), region);
}

static void refuses(const char *message, lunik_object *made)
{
    check_true(message, !made && !lunik_object_find(m, "bad"));
    check_string("  says so", err.message, message);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_choice(void)
{
    build(4, 3 * GIB);
    DEVICE("pc-dimm", TEXT("id", "d1"), TEXT("memdev", "m1"));
    check_uint("first address", get("d1", "addr"), WINDOW);
    check_uint("first slot", get("d1", "slot"), 0);
    check_uint("its size", get("d1", "size"), 128 * MIB);
    check_uint("coldplugged", get("d1", "hotplugged"), false);
    check_true("mapped", at(WINDOW, "m1") && at(WINDOW + 128 * MIB - 1, "m1") &&
                             at(WINDOW + 128 * MIB, NULL));
    DEVICE("pc-dimm", TEXT("id", "d2"), TEXT("memdev", "m2"), NUM("addr", WINDOW + 256 * MIB),
           NUM("slot", 3));
    check_uint("a chosen address", get("d2", "addr"), WINDOW + 256 * MIB);
    check_uint("a chosen slot", get("d2", "slot"), 3);
    DEVICE("pc-dimm", TEXT("id", "d3"), TEXT("memdev", "m3"));
    check_uint("the gap that fits", get("d3", "addr"), WINDOW + 128 * MIB);
    check_uint("the first free slot", get("d3", "slot"), 1);
    check_uint("bytes in use", get("window", "used"), 384 * MIB);
    lunik_device_del(m, "d1", &err);
    check_true("removed before the start: at once", at(WINDOW, NULL));
    backend("big", 256 * MIB);
    DEVICE("pc-dimm", TEXT("id", "d4"), TEXT("memdev", "big"));
    check_uint("a gap too small is passed over", get("d4", "addr"), WINDOW + 384 * MIB);
    check_uint("the slot was free again", get("d4", "slot"), 0);
    lunik_machine_close(m);
}

static void test_refusals(void)
{
    build(3, 512 * MIB);
    DEVICE("pc-dimm", TEXT("id", "d1"), TEXT("memdev", "m1"));
    refuses("pc-dimm: memdev: is missing (want the id of a memory-backend)",
            DEVICE("pc-dimm", TEXT("id", "bad")));
    refuses("pc-dimm: memdev: there is no object 'm9' (want the id of a memory-backend)",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m9")));
    refuses("pc-dimm: memdev: object 'm1' is already in use by 'd1'",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m1")));
    refuses("pc-dimm: node: 3 is not a NUMA node of the machine, which has 1",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("node", 3)));
    refuses("pc-dimm: slot: slot 0 is busy with 'd1'",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("slot", 0)));
    refuses("pc-dimm: slot: 3 is out of range (want 0 to 2)",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("slot", 3)));
    refuses("pc-dimm: addr: 0x100100000 must be aligned to 0x200000 bytes",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("addr", 0x100100000)));
    refuses("pc-dimm: addr: [0x40000000:0x8000000] is not in the range for memory devices "
            "[0x100000000:0xe0000000]",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("addr", GIB)));
    refuses("pc-dimm: addr: [0xfffffffff8000000:0x8000000] is not in the range for memory devices "
            "[0x100000000:0xe0000000]",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"),
                   NUM("addr", UINT64_MAX - 128 * MIB + 1)));
    refuses("pc-dimm: addr: [0x104000000:0x8000000] conflicts with memory device 'd1' "
            "[0x100000000:0x8000000]",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m2"), NUM("addr", 0x104000000)));
    refuses("impostor: 'bad' is no memory device (want the interface memory-device)",
            DEVICE("impostor", TEXT("id", "bad")));
    backend("odd", 3 * MIB);
    refuses("pc-dimm: memdev: the size of 'odd', 0x300000, must be a multiple of 0x200000",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "odd")));
    backend("big", 512 * MIB);
    refuses("pc-dimm: memdev: not enough space for 0x20000000 bytes, 0x8000000 of 0x20000000 for "
            "memory devices are in use (see maxmem)",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "big")));
    check_int("what was refused is free", lunik_object_del(m, "big", &err), 0);
    check_int("what is plugged is not", lunik_object_del(m, "m1", &err), LUNIK_E_BUSY);
    check_string("  says so", err.message, "object 'm1' is in use by 'd1' and can't be deleted");
    check_int("nor is the window", lunik_device_del(m, "window", &err), LUNIK_E_BUSY);
    DEVICE("pc-dimm", TEXT("memdev", "m2"));
    DEVICE("pc-dimm", TEXT("memdev", "m3"));
    refuses("pc-dimm: slot: no free slots available, all 3 are in use",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m4")));
    lunik_machine_close(m);
}

static void test_no_window(void)
{
    build(0, 512 * MIB);
    refuses("pc-dimm: slot: the machine has no memory slots (want the slots option)",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m1")));
    lunik_device_del(m, "window", &err);
    refuses(
        "pc-dimm: the machine has no hotplug handler for memory devices (want maxmem and slots)",
        DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m1")));
    refuses("device-memory: size: 0x1000 bytes at 0xfffffffffffff001 end beyond the address space",
            DEVICE("device-memory", TEXT("id", "bad"), NUM("addr", UINT64_MAX - 4094),
                   NUM("size", 4096)));
    refuses("device-memory: slots: 5 are more than the 0 of 'regs'",
            DEVICE("device-memory", TEXT("id", "bad"), NUM("addr", WINDOW), NUM("size", GIB),
                   NUM("slots", 5), TEXT("acpi", "regs")));
    lunik_machine_close(m);
}

static void test_hotplug(void)
{
    build(4, 3 * GIB);
    DEVICE("pc-dimm", TEXT("id", "cold"), TEXT("memdev", "m1"));
    check_int("start", lunik_machine_start(m, &err), 0);
    check_uint("a coldplugged DIMM is present, no event", in(MHP_CONTROL, 1), MHP_ENABLED);
    check_uint("nor an interrupt", bell->rings, 0);

    DEVICE("pc-dimm", TEXT("id", "d"), TEXT("memdev", "m2"), NUM("slot", 2));
    check_uint("one interrupt", bell->rings, 1);
    check_uint("by GPE 3", bell->gpe, 3);
    out(MHP_SELECTOR, 2);
    check_uint("present, inserted", in(MHP_CONTROL, 1), MHP_ENABLED | MHP_INSERT);
    check_uint("address", in(MHP_ADDR_LOW, 4) | (uint64_t)in(MHP_ADDR_HIGH, 4) << 32,
               WINDOW + 128 * MIB);
    check_uint("two bytes of the size", in(MHP_SIZE_LOW, 2), 0);
    check_uint("a byte inside a register", in(MHP_SIZE_LOW + 3, 1), 0xff);
    lunik_space_store(lunik_machine_io(m), PORT + MHP_CONTROL, 1, MHP_INSERT);
    check_uint("event cleared", in(MHP_CONTROL, 1), MHP_ENABLED);
    out(MHP_OST_EVENT, 1);
    out(MHP_OST_STATUS, 0);
    expect_events("the machine hears of it",
                  "device-added cold; started; device-added d; acpi-ost 0x2 DIMM 0x1 0x0 d; ");
}

/* Continues with the machine of test_hotplug(). */
static void test_unplug(void)
{
    lunik_object *d = lunik_object_find(m, "d");

    check_int("request", lunik_device_del(m, "d", &err), 0);
    check_uint("another interrupt", bell->rings, 2);
    check_uint("remove event", in(MHP_CONTROL, 1), MHP_ENABLED | MHP_REMOVE);
    check_int("its memdev stays busy", lunik_object_del(m, "m2", &err), LUNIK_E_BUSY);
    out(MHP_CONTROL, MHP_REMOVE);
    out(MHP_OST_EVENT, 3);
    out(MHP_OST_STATUS, 0x84);
    check_int("ejection in progress is no refusal", lunik_device_plug_state(d),
              LUNIK_PLUG_REQUESTED);
    out(MHP_OST_EVENT, 3);
    out(MHP_OST_STATUS, 0x80);
    check_int("this one is", lunik_device_plug_state(d), LUNIK_PLUG_REFUSED);
    check_true("the memory is still there", at(WINDOW + 128 * MIB, "m2"));
    check_int("asked again", lunik_device_del(m, "d", &err), 0);
    out(MHP_CONTROL, MHP_EJECT);
    check_true("ejected", !lunik_object_find(m, "d") && at(WINDOW + 128 * MIB, NULL));
    check_uint("the slot is empty", in(MHP_CONTROL, 1) | in(MHP_SIZE_LOW, 4) | in(MHP_ADDR_HIGH, 4),
               0);
    out(MHP_CONTROL, MHP_EJECT);
    out(MHP_OST_EVENT, 0x103);
    out(MHP_OST_STATUS, 0);
    expect_events("the whole story",
                  "device-unplug-request d; acpi-ost 0x2 DIMM 0x3 0x84 d; "
                  "acpi-ost 0x2 DIMM 0x3 0x80 d; device-unplug-guest-error d 0x3 0x80; "
                  "device-unplug-request d; device-deleted d; acpi-ost 0x2 DIMM 0x103 0x0; ");
    check_int("its memdev is free", lunik_object_del(m, "m2", &err), 0);
}

static void test_reset(void)
{
    DEVICE("pc-dimm", TEXT("id", "e"), TEXT("memdev", "m3"));
    lunik_device_del(m, "cold", &err);
    lunik_machine_reset(m, &err);
    check_true("a reset completes the removal", at(WINDOW, NULL) && !lunik_object_find(m, "cold"));
    check_uint("and forgets the selector", in(MHP_CONTROL, 1), 0);
    out(MHP_SELECTOR, 1);
    check_uint("and the insert event", in(MHP_CONTROL, 1), MHP_ENABLED);
    check_true("other DIMMs stay", at(WINDOW + 128 * MIB, "m3"));
    lunik_machine_close(m);
}

static int refuse_commit(lunik_listener *l, lunik_error *why)
{
    return lunik_fail(why, LUNIK_E_NO_SPACE, "no memslot is free");
}

static void test_rollback(void)
{
    lunik_listener listener = {.name = "full", .space = NULL};

    build(4, 3 * GIB);
    lunik_machine_start(m, &err);
    listener.space = lunik_machine_memory(m);
    lunik_listener_add(m, &listener, &err);
    listener.commit = refuse_commit;
    refuses("pc-dimm: 'bad' can't be mapped: no memslot is free",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m1")));
    check_true("nothing is mapped", at(WINDOW, NULL));
    check_uint("nor in use", get("window", "used"), 0);
    check_uint("nor is the guest told", bell->rings + in(MHP_CONTROL, 1), 0);
    check_int("the backend is free", lunik_object_del(m, "m1", &err), 0);
    listener.commit = NULL;
    DEVICE("pc-dimm", TEXT("id", "d"), TEXT("memdev", "m2"));
    check_true("later it fits", at(WINDOW, "m2") && get("d", "slot") == 0);
    lunik_listener_del(&listener);
    lunik_machine_close(m);
}

static void test_many(void)
{
    unsigned wrong = 0;

    build(256, 64 * GIB);
    lunik_machine_start(m, &err);
    for (unsigned i = 0; i < 256; i++) {
        char id[8], memdev[8];
        snprintf(id, sizeof(id), "d%u", i);
        snprintf(memdev, sizeof(memdev), "b%u", i);
        backend(memdev, 2 * MIB);
        wrong += !DEVICE("pc-dimm", TEXT("id", id), TEXT("memdev", memdev));
        out(MHP_SELECTOR, i);
        wrong += in(MHP_ADDR_LOW, 4) != i * 2 * MIB || in(MHP_CONTROL, 1) != 3;
    }
    check_uint("256 DIMMs", wrong, 0);
    refuses("pc-dimm: slot: no free slots available, all 256 are in use",
            DEVICE("pc-dimm", TEXT("id", "bad"), TEXT("memdev", "m1")));
    for (unsigned i = 0; i < 256; i += 2) {
        out(MHP_SELECTOR, i);
        out(MHP_CONTROL, MHP_EJECT);
    }
    check_uint("the guest may eject unasked", get("window", "used"), 256 * MIB);
    check_true("each its own", at(0, NULL) && at(WINDOW, NULL) && at(WINDOW + 2 * MIB, "b1"));
    lunik_machine_close(m);
}

/* ---- a model of the window ------------------------------------------------------------------ */

enum { UNITS = 64, PLACES = 16, POOL = 24 }; /* of 2 MiB in the window; slots; devices */

struct model {
    unsigned unit[UNITS], slot[PLACES]; /* its DIMM's number + 1; 0: none */
};

static bool all_free(const struct model *w, unsigned first, unsigned size)
{
    for (unsigned i = first; i < first + size; i++)
        if (i >= UNITS || w->unit[i])
            return false;
    return true;
}

static void forget(struct model *w, unsigned number)
{
    for (unsigned i = 0; i < UNITS; i++)
        w->unit[i] = w->unit[i] == number + 1 ? 0 : w->unit[i];
    for (unsigned i = 0; i < PLACES; i++)
        w->slot[i] = w->slot[i] == number + 1 ? 0 : w->slot[i];
}

/* Plugs device number where it likes, or at unit `wanted` (UNITS: where it likes). Returns 1 if
 * the model says something else. */
static unsigned plug_both(struct model *w, unsigned number, unsigned wanted)
{
    unsigned size = 1 + number % 5, slot = 0, unit = wanted % UNITS;
    char id[8], memdev[8], rival[8];
    const lunik_field fields[] = {TEXT("id", id), TEXT("memdev", memdev),
                                  NUM("addr", WINDOW + unit * 2 * MIB)};
    lunik_object *made;

    snprintf(id, sizeof(id), "d%u", number);
    snprintf(memdev, sizeof(memdev), "b%u", number);
    made = device("pc-dimm", fields, wanted == UNITS ? 2 : 3);
    while (slot < PLACES && w->slot[slot])
        slot++;
    while (wanted == UNITS && unit < UNITS && !all_free(w, unit, size))
        unit++;
    if (slot == PLACES || !all_free(w, unit, size)) {
        while (wanted < UNITS && unit < UNITS - 1 && !w->unit[unit])
            unit++;
        snprintf(rival, sizeof(rival), "'d%u'", w->unit[unit % UNITS] - 1);
        return made || (err.code == LUNIK_E_EXISTS && !strstr(err.message, rival));
    }
    w->slot[slot] = number + 1;
    for (unsigned i = 0; i < size; i++)
        w->unit[unit + i] = number + 1;
    return get(id, "addr") != WINDOW + unit * 2 * MIB || get(id, "slot") != slot;
}

static void test_model(void)
{
    unsigned wrong = 0, refused = 0;
    struct model w = {0};
    uint32_t random = 1;
    char id[8];

    build(0, GIB);
    lunik_device_del(m, "window", &err);
    DEVICE("device-memory", TEXT("id", "window"), NUM("addr", WINDOW), NUM("size", UNITS * 2 * MIB),
           NUM("slots", PLACES));
    for (unsigned i = 0; i < POOL; i++) {
        snprintf(id, sizeof(id), "b%u", i);
        backend(id, (1 + i % 5) * 2 * MIB);
    }
    for (unsigned step = 0; step < 4000; step++) {
        unsigned number = (random = random * 1664525 + 1013904223) >> 8, wanted = number / POOL;

        number %= POOL;
        snprintf(id, sizeof(id), "d%u", number);
        if (lunik_object_find(m, id)) {
            wrong += lunik_device_del(m, id, &err) != 0;
            forget(&w, number);
        } else {
            wrong += plug_both(&w, number, wanted % 2 ? UNITS : wanted / 2 % UNITS);
            refused += !lunik_object_find(m, id);
        }
    }
    check_uint("devices where the model has none or others", wrong, 0);
    check_true("some were refused, not all", refused > 100 && refused < 1900);
    lunik_machine_close(m);
}

int main(void)
{
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_type_add(rt, &bell_type, &err) || lunik_type_add(rt, &impostor_type, &err)) {
        check_string("set up", err.message, "");
        return 1;
    }
    test_choice();
    test_refusals();
    test_no_window();
    test_hotplug();
    test_unplug();
    test_reset();
    test_rollback();
    test_many();
    test_model();
    lunik_runtime_free(rt);
    return check_result();
}
