/*
 * mc146818.c: the real-time clock and CMOS RAM of a PC: an MC146818A (mc146818_chip.h) behind an
 * index port, which can only be written, and a data port. The RAM holds the memory sizes and the
 * number of processors for firmware. The clock starts with the host's UTC time, or another, and
 * then follows the machine's clock, which stands still while the machine is paused, or the host's.
 *
 * Not modelled: bit 7 of the index port masks NMIs on a PC; here it does nothing.
 */
#include <inttypes.h>
#include <time.h>

#include "mc146818_chip.h"
#include "../ports.h"
#include "../types.h"

#define PORT_INDEX 0
#define PORT_DATA  1
#define PORTS      2

#define INDEX_MASK 0x7f

/* Bytes of the CMOS RAM that PC firmware reads; numbers are little-endian. */
#define CMOS_SHUTDOWN    0x0f /* why the processor is reset */
#define CMOS_EQUIPMENT   0x14
#define CMOS_BASE_KIB    0x15 /* 2 bytes: conventional memory in KiB */
#define CMOS_EXT_KIB     0x17 /* 2 bytes: memory above 1 MiB in KiB */
#define CMOS_EXT_KIB_2   0x30 /* the same again */
#define CMOS_EXT_64KIB   0x34 /* 2 bytes: memory from 16 MiB to 4 GiB in 64 KiB */
#define CMOS_ABOVE_64KIB 0x5b /* 3 bytes: memory above 4 GiB in 64 KiB */
#define CMOS_OTHER_CPUS  0x5f /* processors in addition to the first */

#define SHUTDOWN_RESUME 0xfe /* SeaBIOS: it wakes up */
#define EQUIPMENT_FPU   0x02
#define EQUIPMENT_MOUSE 0x04

/* Limits how long a timer for the host's clock runs by the machine's: the host's may be set
 * meanwhile, or have gone on while the host slept. */
#define LOOK_AGAIN_NS UINT64_C(1000000000)

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

enum { FOLLOWS_MACHINE, FOLLOWS_HOST };

struct mc146818 {
    uint64_t iobase, irq, base, below_4g, above_4g;
    int follows;
    lunik_clock host_clock;
    struct mc146818_chip chip;
    struct {
        int64_t seconds;
        uint32_t ns;
    } saved; /* time of day; with the host's clock: how far that is ahead */
    uint8_t index;
    bool started;
    lunik_timer timer;
    lunik_region *ports;
};

/* ---- CMOS RAM ------------------------------------------------------------------------------- */

/* Stores count in `bytes` bytes, or as much as fits there. */
static void put(struct mc146818 *s, unsigned index, unsigned bytes, uint64_t count)
{
    uint64_t limit = (UINT64_C(1) << (8 * bytes)) - 1;

    if (count > limit)
        count = limit;
    for (unsigned i = 0; i < bytes; i++)
        s->chip.ram[index + i] = (uint8_t)(count >> (8 * i));
}

/* Returns how many `unit`s of size lie above start. */
static uint64_t above(uint64_t size, uint64_t start, uint64_t unit)
{
    return size > start ? (size - start) / unit : 0;
}

static void count_cpus(struct mc146818 *s, const lunik_machine *m)
{
    put(s, CMOS_OTHER_CPUS, 1, lunik_cpu_count(m) - 1);
}

static void fill_ram(struct mc146818 *s, const lunik_machine *m)
{
    uint64_t low = s->below_4g < 640 * KIB ? s->below_4g : 640 * KIB;

    put(s, CMOS_EQUIPMENT, 1, EQUIPMENT_FPU | EQUIPMENT_MOUSE);
    put(s, CMOS_BASE_KIB, 2, low / KIB);
    put(s, CMOS_EXT_KIB, 2, above(s->below_4g, MIB, KIB));
    put(s, CMOS_EXT_KIB_2, 2, above(s->below_4g, MIB, KIB));
    put(s, CMOS_EXT_64KIB, 2, above(s->below_4g, 16 * MIB, 64 * KIB));
    put(s, CMOS_ABOVE_64KIB, 3, s->above_4g / (64 * KIB));
    count_cpus(s, m);
}

/* Firmware waits for as many CPUs as the RAM says: it has to be right at every reset. A reset while
 * the guest sleeps does not wake it. */
static void reset(lunik_object *o)
{
    struct mc146818 *s = lunik_state(o);

    s->index = 0;
    mc146818_reset(&s->chip);
    if (!lunik_machine_waking(lunik_object_machine(o)) &&
        s->chip.ram[CMOS_SHUTDOWN] == SHUTDOWN_RESUME)
        s->chip.ram[CMOS_SHUTDOWN] = 0;
    count_cpus(s, lunik_object_machine(o));
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct mc146818 *s = opaque;

    *value = offset == PORT_DATA ? mc146818_read(&s->chip, s->index) : 0xff;
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct mc146818 *s = opaque;

    if (offset == PORT_INDEX)
        s->index = value & INDEX_MASK;
    else
        mc146818_write(&s->chip, s->index, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    DEVICE_BYTE_PORTS,
};

/* ---- timers --------------------------------------------------------------------------------- */

static uint64_t host_now(lunik_clock *clock)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Returns the time by the machine's clock at which to compare the host's with the deadline. */
static uint64_t machine_deadline(struct mc146818 *s, uint64_t deadline)
{
    uint64_t host = host_now(&s->host_clock), wait = deadline > host ? deadline - host : 0, at;

    if (wait > LOOK_AGAIN_NS)
        wait = LOOK_AGAIN_NS;
    if (__builtin_add_overflow(lunik_clock_read(lunik_machine_clock(s->timer.machine)), wait, &at))
        return UINT64_MAX;
    return at;
}

static void schedule(void *opaque, uint64_t deadline)
{
    struct mc146818 *s = opaque;

    if (s->follows == FOLLOWS_HOST && deadline != UINT64_MAX)
        deadline = machine_deadline(s, deadline);
    lunik_timer_set(&s->timer, deadline);
}

/* Wakes a guest that sleeps if the alarm has gone off. */
static void wake_if_alarmed(struct mc146818 *s)
{
    if (mc146818_alarmed(&s->chip))
        lunik_machine_wake(s->timer.machine, LUNIK_WAKE_RTC);
}

static void timer_fired(lunik_timer *timer)
{
    struct mc146818 *s = lunik_container_of(timer, struct mc146818, timer);

    mc146818_tick(&s->chip);
    wake_if_alarmed(s);
}

/* The alarm may have gone off while the guest prepared itself. */
static void suspended(lunik_object *o)
{
    struct mc146818 *s = lunik_state(o);

    s->chip.ram[CMOS_SHUTDOWN] = SHUTDOWN_RESUME;
    mc146818_tick(&s->chip);
    wake_if_alarmed(s);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Returns the time to start with. */
static struct timespec start_time(const struct mc146818 *s)
{
    struct timespec now = {.tv_sec = (time_t)s->base};

    if (!s->base)
        clock_gettime(CLOCK_REALTIME, &now);
    return now;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct mc146818 *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    lunik_clock *clock = s->follows == FOLLOWS_HOST ? &s->host_clock : lunik_machine_clock(m);
    struct timespec now = start_time(s);
    int rc;

    lunik_timer_init(&s->timer, m, timer_fired);
    s->host_clock.now = host_now;
    mc146818_init(&s->chip, clock, schedule, s, now.tv_sec, (uint32_t)now.tv_nsec);
    fill_ram(s, m);
    rc = lunik_irq_connect(m, &s->chip.irq, (unsigned)s->irq, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "mc146818: irq");
    rc = device_ports_new(&s->ports, o, "rtc", s->iobase, PORTS, &port_ops, s, err);
    if (rc)
        lunik_irq_disconnect(&s->chip.irq);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct mc146818 *s = lunik_state(o);

    device_region_drop(&s->ports);
    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->chip.irq);
}

/* Sets the time at the first start, when the machine's clock begins to move. The host's clock goes
 * on while the machine is paused: interrupts that have come due by now are raised. */
static void run_state(lunik_object *o, bool running)
{
    struct mc146818 *s = lunik_state(o);
    struct timespec now = start_time(s);

    if (!running)
        return;
    if (!s->started && (!s->base || s->follows == FOLLOWS_HOST))
        mc146818_set_time(&s->chip, now.tv_sec, (uint32_t)now.tv_nsec);
    else if (s->follows == FOLLOWS_HOST)
        mc146818_tick(&s->chip);
    s->started = true;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const char *const clock_names[] = {
    [FOLLOWS_MACHINE] = "machine", [FOLLOWS_HOST] = "host", NULL};

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct mc146818, "The index port; the data port is the next one.", 0x70,
                       0x10000 - PORTS),
    DEVICE_IRQ_PROP("irq", struct mc146818, irq, "Interrupt line (GSI), 0 to 23.", 8),
    {
        .name = "base",
        .kind = LUNIK_PROP_UINT,
        .doc = "The time at the start, in seconds since 1970-01-01 UTC; 0: the host's.",
        .offset = offsetof(struct mc146818, base),
        .max = 253402300799, /* the end of the year 9999 */
    },
    {
        .name = "clock",
        .kind = LUNIK_PROP_ENUM,
        .doc =
            "The clock it follows: machine, which stands still while the machine is paused or off; "
            "host, which goes on and is set with the host's.",
        .offset = offsetof(struct mc146818, follows),
        .choices = clock_names,
    },
    {
        .name = "below-4g",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Memory below 4 GiB, in bytes, for the CMOS RAM.",
        .offset = offsetof(struct mc146818, below_4g),
    },
    {
        .name = "above-4g",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Memory above 4 GiB, in bytes, for the CMOS RAM.",
        .offset = offsetof(struct mc146818, above_4g),
    },
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct mc146818 *s = lunik_state(o);

    device_describe_isa(out, "mc146818", "RIOB", s->iobase, "RIRQ", s->irq);
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_sleep_ops sleep_ops = {.suspended = suspended};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(acpi, &acpi_ops),
    LUNIK_IFACE(sleep, &sleep_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static int pre_save(void *state, lunik_error *err)
{
    struct mc146818 *s = state;

    if (s->follows == FOLLOWS_MACHINE) {
        mc146818_get_time(&s->chip, &s->saved.seconds, &s->saved.ns);
    } else {
        s->saved.seconds = s->chip.base_seconds;
        s->saved.ns = s->chip.base_ns;
    }
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct mc146818 *s = staged;

    if (s->saved.seconds < -MC146818_LATEST || s->saved.seconds > MC146818_LATEST)
        return lunik_fail(err, LUNIK_E_INVALID, "saved.seconds: %" PRId64 " is no time of day",
                          s->saved.seconds);
    return 0;
}

/* The timer follows from the registers. */
static void loaded(void *state)
{
    struct mc146818 *s = state;

    if (s->follows == FOLLOWS_MACHINE) {
        mc146818_put_time(&s->chip, s->saved.seconds, s->saved.ns);
    } else {
        s->chip.base_seconds = s->saved.seconds;
        s->chip.base_ns = s->saved.ns;
    }
    lunik_timer_cancel(&s->timer);
    mc146818_tick(&s->chip);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct mc146818, follows, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE_STRUCT(struct mc146818, chip, &mc146818_chip_state),
    LUNIK_STATE(struct mc146818, saved.seconds),
    LUNIK_STATE(struct mc146818, saved.ns, .limit = 1000000000),
    LUNIK_STATE(struct mc146818, index, .limit = INDEX_MASK + 1),
    LUNIK_STATE(struct mc146818, started),
    {0},
};

static const lunik_state_table state_table = {
    .name = "mc146818",
    .version = 1,
    .size = sizeof(struct mc146818),
    .fields = state_fields,
    .pre_save = pre_save,
    .post_load = post_load,
    .loaded = loaded,
};

const lunik_type mc146818_type = {
    .name = "mc146818",
    .doc = "Real-time clock and CMOS RAM of a PC.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct mc146818),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .run_state = run_state,
    .state = &state_table,
};
