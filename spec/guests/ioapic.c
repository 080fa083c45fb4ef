/*
 * ioapic.c: checks of the I/O APIC and of the local APICs behind it: registers, edges and levels,
 * masks, polarity, remote IRR, trigger mode, destinations. Ports LINES + gsi set the lines that the
 * checks need: the host has something there.
 */
#include "commands.h"

#define LINES  0x2000
#define PIN    20 /* nothing else has these */
#define OTHER  21
#define VECTOR 0x78
#define LOWER  0x66
#define WAIT                                                                                       \
    5000000 /* microseconds: for what comes at once, from CPUs that may wait for a host's */

#define SELECT_ID          0
#define SELECT_VERSION     1
#define SELECT_ARBITRATION 2

#define LEVEL      (1u << 15)
#define MASKED     (1u << 16)
#define LOW        (1u << 13)
#define REMOTE_IRR (1u << 14)
#define LOGICAL    (1u << 11)

#define LAPIC_TMR 0x180

static struct {
    volatile unsigned taken, cpus; /* interrupts; who took them, a bit for each */
    volatile unsigned order;       /* the vectors, last in the low byte */
    volatile bool level;           /* its bit in the trigger mode register */
    volatile uint32_t entry;       /* the pin's, while it is handled */
} seen;

static unsigned selected(unsigned reg)
{
    volatile uint32_t *ioapic = (volatile uint32_t *)(uint64_t)acpi.ioapic;

    ioapic[0] = reg;
    return ioapic[4];
}

static void redirect(unsigned pin, uint32_t low, uint32_t destination)
{
    irq_ioapic_write(0x10 + 2 * pin, MASKED);
    irq_ioapic_write(0x11 + 2 * pin, destination << 24);
    irq_ioapic_write(0x10 + 2 * pin, low);
}

static uint32_t entry(void)
{
    return selected(0x10 + 2 * PIN);
}

static void set_masked(bool masked)
{
    irq_ioapic_write(0x10 + 2 * PIN, (entry() & ~MASKED) | (masked ? MASKED : 0));
}

static void line(unsigned gsi, bool level)
{
    outb((uint16_t)(LINES + gsi), level);
}

static void pulse(unsigned gsi)
{
    line(gsi, true);
    line(gsi, false);
}

static bool trigger_mode(uint8_t vector)
{
    uint64_t address = acpi.lapic + LAPIC_TMR + 0x10u * (vector / 32);

    return *(volatile uint32_t *)address >> vector % 32 & 1;
}

/* ---- handlers ------------------------------------------------------------------------------- */

static void note(uint8_t vector)
{
    __sync_fetch_and_or(&seen.cpus, 1u << cpu_index());
    __sync_fetch_and_add(&seen.taken, 1);
    seen.order = seen.order << 8 | vector;
}

static void count(void)
{
    note(VECTOR);
    seen.level = trigger_mode(VECTOR);
}

static void count_lower(void)
{
    note(LOWER);
}

static void lower(void)
{
    count();
    line(PIN, false);
}

static void lower_at_second(void)
{
    count();
    if (seen.taken == 2)
        line(PIN, false);
}

static void flicker(void)
{
    count();
    if (seen.taken == 1) {
        line(PIN, false);
        line(PIN, true);
    }
    line(PIN, false);
}

static void mask(void)
{
    count();
    set_masked(true);
}

static void look(void)
{
    count();
    seen.entry = entry();
    line(PIN, false);
}

static void move_away(void)
{
    lower();
    irq_ioapic_write(0x11 + 2 * PIN, (uint32_t)acpi.apic_id[1] << 24);
}

/* ---- checks --------------------------------------------------------------------------------- */

static void begin(void (*handler)(void), uint32_t low, uint32_t destination)
{
    seen.taken = seen.cpus = seen.order = 0;
    seen.level = false;
    irq_catch(VECTOR, handler);
    redirect(PIN, VECTOR | low, destination);
}

/* Takes interrupts until there were so many, and for a moment more. Returns whether no more came.
 */
static bool taken(unsigned want)
{
    uint64_t start = time_now_us(), moment;

    do
        __asm__ volatile("sti; pause; cli" : : : "memory");
    while (seen.taken < want && time_now_us() - start < WAIT);
    moment = time_now_us();
    while (time_now_us() - moment < 1000)
        __asm__ volatile("sti; pause; cli" : : : "memory");
    return seen.taken == want;
}

static bool version(void)
{
    uint32_t before = selected(SELECT_VERSION);

    irq_ioapic_write(SELECT_VERSION, ~before);
    return selected(SELECT_VERSION) == before && (before >> 16 & 0xff) == 23;
}

static bool id(void)
{
    uint32_t before = selected(SELECT_ID), changed;

    irq_ioapic_write(SELECT_ID, ~before);
    changed = before ^ selected(SELECT_ID);
    irq_ioapic_write(SELECT_ID, before);
    return changed == 0xf000000;
}

static bool arbitration(void)
{
    uint32_t before = selected(SELECT_ID);
    bool follows;

    irq_ioapic_write(SELECT_ID, 0x5000000);
    irq_ioapic_write(SELECT_ARBITRATION, 0);
    follows = selected(SELECT_ARBITRATION) == 0x5000000;
    irq_ioapic_write(SELECT_ID, before);
    return follows;
}

static bool edge(void)
{
    begin(count, 0, 0);
    pulse(PIN);
    return taken(1) && !seen.level && !(entry() & REMOTE_IRR);
}

static bool edges(void)
{
    begin(count, 0, 0);
    line(PIN, true);
    line(PIN, true);
    if (!taken(1))
        return false;
    line(PIN, false);
    line(PIN, true);
    return taken(2);
}

static bool level(void)
{
    begin(lower, LEVEL, 0);
    line(PIN, true);
    return taken(1) && seen.level;
}

static bool edge_after_level(void)
{
    return level() && trigger_mode(VECTOR) && edge() && !trigger_mode(VECTOR);
}

static bool active_low(void)
{
    begin(lower, LEVEL | LOW, 0); /* an emulated line is asserted or not, whatever its polarity */
    line(PIN, true);
    return taken(1);
}

static bool remote_irr(void)
{
    begin(look, LEVEL, 0);
    line(PIN, true);
    return taken(1) && seen.entry & REMOTE_IRR && !(entry() & REMOTE_IRR);
}

static bool simultaneous(void)
{
    begin(count, 0, 0);
    irq_catch(LOWER, count_lower);
    redirect(OTHER, LOWER, 0);
    pulse(OTHER);
    pulse(PIN);
    return taken(2) && seen.order == (VECTOR << 8 | LOWER);
}

static bool coalesced(void)
{
    begin(flicker, LEVEL, 0);
    line(PIN, true);
    return taken(1);
}

static bool sequential(void)
{
    begin(lower, LEVEL, 0);
    line(PIN, true);
    if (!taken(1))
        return false;
    line(PIN, true);
    return taken(2);
}

static bool retriggered(void)
{
    begin(lower_at_second, LEVEL, 0);
    line(PIN, true);
    return taken(2);
}

static bool masked_edge(void)
{
    begin(count, MASKED, 0);
    pulse(PIN);
    if (!taken(0))
        return false;
    set_masked(false);
    if (!taken(0))
        return false;
    line(PIN, true);
    return taken(1);
}

static bool masked_level(void)
{
    begin(lower, LEVEL | MASKED, 0);
    line(PIN, true);
    if (!taken(0))
        return false;
    set_masked(false);
    return taken(1);
}

static bool masked_by_handler(void)
{
    begin(mask, LEVEL, 0);
    line(PIN, true);
    if (!taken(1))
        return false;
    set_masked(false);
    return taken(2);
}

static bool reconfigured(void)
{
    begin(move_away, LEVEL, acpi.apic_id[0]);
    line(PIN, true);
    return taken(1) && seen.cpus == 1 && !(entry() & REMOTE_IRR);
}

static bool physical_edge(void)
{
    begin(count, 0, acpi.apic_id[1]);
    pulse(PIN);
    return taken(1) && seen.cpus == 2 && !seen.level;
}

static bool physical_level(void)
{
    begin(lower, LEVEL, acpi.apic_id[1]);
    line(PIN, true);
    return taken(1) && seen.cpus == 2 && seen.level && !(entry() & REMOTE_IRR);
}

static bool logical(void)
{
    begin(lower, LEVEL | LOGICAL, 0xd);
    line(PIN, true);
    return taken(3) && seen.cpus == 0xd;
}

static const struct check {
    const char *name;
    bool (*run)(void);
    unsigned cpus; /* that it needs */
} checks[] = {
    {"version", version, 1},
    {"id", id, 1},
    {"arbitration", arbitration, 1},
    {"edge", edge, 1},
    {"edges", edges, 1},
    {"level", level, 1},
    {"edge-after-level", edge_after_level, 1},
    {"active-low", active_low, 1},
    {"remote-irr", remote_irr, 1},
    {"simultaneous", simultaneous, 1},
    {"coalesced", coalesced, 1},
    {"sequential", sequential, 1},
    {"retriggered", retriggered, 1},
    {"masked-edge", masked_edge, 1},
    {"masked-level", masked_level, 1},
    {"masked-by-handler", masked_by_handler, 1},
    {"reconfigured", reconfigured, 2},
    {"physical-edge", physical_edge, 2},
    {"physical-level", physical_level, 2},
    {"logical", logical, 4},
};

void command_ioapic(const struct args *a)
{
    (void)a;
    if (!acpi.ioapic) {
        print("error ioapic: there is none\n");
        return;
    }
    smp_start();
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].cpus > smp_online)
            continue;
        if (checks[i].run())
            print("%s passed\n", checks[i].name);
        else
            print("%s failed: %u taken, by 0x%x, order 0x%x, entry 0x%x\n", checks[i].name,
                  seen.taken, seen.cpus, seen.order, entry());
        line(PIN, false);
        line(OTHER, false);
        redirect(PIN, MASKED, 0);
        redirect(OTHER, MASKED, 0);
    }
    print("ok ioapic\n");
}
