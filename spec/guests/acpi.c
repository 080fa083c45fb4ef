/* acpi.c: finds the ACPI tables and runs the fixed hardware: events, GPEs, sleep states. */
#include "guest.h"

struct acpi acpi = {.lapic = 0xfee00000};
volatile uint32_t acpi_gpe_pending;
volatile bool acpi_button_pending;

#define PM1_PWRBTN  0x0100
#define PM1_SCI_EN  0x0001
#define PM1_SLP_EN  0x2000
#define PM1_ALL_STS 0x8f31

static unsigned tables, bad_tables;

static uint8_t sum(uint64_t at, uint32_t size)
{
    uint8_t s = 0;

    while (size--)
        s += *(const uint8_t *)at++;
    return s;
}

static bool same(uint64_t at, const char *text, unsigned size)
{
    while (size--)
        if (*(const char *)at++ != *text++)
            return false;
    return true;
}

static uint8_t get8(uint64_t at)
{
    return *(const uint8_t *)at;
}
static uint16_t get16(uint64_t at)
{
    return *(const uint16_t *)at;
}
static uint32_t get32(uint64_t at)
{
    return *(const uint32_t *)at;
}
static uint64_t get64(uint64_t at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static bool rsdp_valid(uint64_t at)
{
    return same(at, "RSD PTR ", 8) && sum(at, 20) == 0 &&
           (get8(at + 15) < 2 || sum(at, get32(at + 20)) == 0);
}

static uint64_t find_rsdp(void)
{
    if (boot.rsdp)
        return rsdp_valid(boot.rsdp) ? boot.rsdp : 0;
    for (uint64_t at = 0xe0000; at < 0x100000; at += 16)
        if (get32(at) == 0x20445352 && rsdp_valid(at)) /* "RSD " */
            return at;
    return 0;
}

static void read_facp(uint64_t t)
{
    acpi.dsdt = get32(t + 4) >= 148 && get64(t + 140) ? get64(t + 140) : get32(t + 40);
    acpi.facs = get32(t + 36);
    acpi.sci = get16(t + 46);
    acpi.smi_cmd = get32(t + 48);
    acpi.acpi_enable = get8(t + 52);
    acpi.pm1_evt = get32(t + 56);
    acpi.pm1_cnt = get32(t + 64);
    acpi.pm_tmr = get32(t + 76);
    acpi.gpe0 = get32(t + 80);
    acpi.gpe0_len = get8(t + 92);
}

static void read_madt(uint64_t t)
{
    uint64_t end = t + get32(t + 4);

    acpi.lapic = get32(t + 36);
    for (uint64_t at = t + 44; at + 2 <= end && get8(at + 1) >= 2; at += get8(at + 1)) {
        if (get8(at) == 0 && get32(at + 4) & 1 && acpi.cpu_count < MAX_CPUS) {
            acpi.apic_id[acpi.cpu_count++] = get8(at + 3);
        } else if (get8(at) == 1 && !acpi.ioapic) {
            acpi.ioapic = get32(at + 4);
            acpi.ioapic_gsi = get32(at + 8);
        } else if (get8(at) == 2 && get8(at + 3) < 16) {
            acpi.isa[get8(at + 3)].present = true;
            acpi.isa[get8(at + 3)].gsi = get32(at + 4);
            acpi.isa[get8(at + 3)].flags = get16(at + 8);
        }
    }
}

static void read_table(uint64_t t)
{
    bool ok = sum(t, get32(t + 4)) == 0;

    print("acpi: %c%c%c%c checksum %s\n", get8(t), get8(t + 1), get8(t + 2), get8(t + 3),
          ok ? "ok" : "bad");
    tables++;
    if (!ok) {
        bad_tables++;
        return;
    }
    if (same(t, "FACP", 4))
        read_facp(t);
    else if (same(t, "APIC", 4))
        read_madt(t);
}

void acpi_find(void)
{
    uint64_t rsdp = find_rsdp(), root;
    bool wide;

    if (!rsdp) {
        print("acpi: no RSDP\n");
        return;
    }
    wide = get8(rsdp + 15) >= 2 && get64(rsdp + 24);
    root = wide ? get64(rsdp + 24) : get32(rsdp + 16);
    read_table(root);
    for (uint64_t at = root + 36; at < root + get32(root + 4); at += wide ? 8 : 4)
        read_table(wide ? get64(at) : get32(at));
    if (acpi.dsdt)
        read_table(acpi.dsdt);
    acpi.found = acpi.pm1_cnt;
    print("acpi: %u tables, %u bad, %u cpus, sci %u\n", tables, bad_tables, acpi.cpu_count,
          acpi.sci);
}

/* Takes the events that raised SCI and clears them; the rest is left to poll_events(). */
static void sci(void)
{
    uint16_t sts = inw((uint16_t)acpi.pm1_evt);
    unsigned half = acpi.gpe0_len / 2;

    if (sts & PM1_PWRBTN)
        acpi_button_pending = true;
    outw((uint16_t)acpi.pm1_evt, sts & PM1_ALL_STS);
    for (unsigned i = 0; i < half && i < 4; i++) {
        uint8_t gpe = inb((uint16_t)(acpi.gpe0 + i)) & inb((uint16_t)(acpi.gpe0 + half + i));

        acpi_gpe_pending |= (uint32_t)gpe << 8 * i;
        outb((uint16_t)(acpi.gpe0 + i), gpe);
    }
}

void acpi_enable(void)
{
    if (!(inw((uint16_t)acpi.pm1_cnt) & PM1_SCI_EN) && acpi.smi_cmd) {
        outb((uint16_t)acpi.smi_cmd, acpi.acpi_enable);
        while (!(inw((uint16_t)acpi.pm1_cnt) & PM1_SCI_EN))
            __asm__ volatile("pause");
    }
    outw((uint16_t)acpi.pm1_evt, PM1_ALL_STS);
    outw((uint16_t)(acpi.pm1_evt + 2), PM1_PWRBTN);
    irq_enable(acpi.sci, sci);
    print("acpi: enabled\n");
}

void acpi_enable_gpe(unsigned gpe)
{
    unsigned half = acpi.gpe0_len / 2, byte = gpe / 8;
    uint8_t bit = (uint8_t)(1u << gpe % 8);
    uint16_t enable = (uint16_t)(acpi.gpe0 + half + byte);

    if (byte >= half)
        return;
    outb((uint16_t)(acpi.gpe0 + byte), bit);
    outb(enable, inb(enable) | bit);
}

bool acpi_dsdt_number(const char *name, uint32_t *value)
{
    uint64_t end = acpi.dsdt ? acpi.dsdt + get32(acpi.dsdt + 4) - 10 : 0;

    for (uint64_t at = acpi.dsdt + 36; at < end; at++)
        if (get8(at) == 0x08 && same(at + 1, name, 4) && get8(at + 5) == 0x0c) {
            *value = get32(at + 6);
            return true;
        }
    return false;
}

/* Finds a sleep type: the first element of a package such as \_S5. */
static bool sleep_type(const char *name, unsigned *type)
{
    uint64_t end = acpi.dsdt + get32(acpi.dsdt + 4) - 8;

    for (uint64_t at = acpi.dsdt + 36; at < end; at++)
        if (same(at, name, 4) && get8(at + 4) == 0x12) { /* a package */
            at += 5;
            at += (get8(at) >> 6) + 2u; /* package length, element count */
            *type = get8(at) == 0x0a ? get8(at + 1) : get8(at);
            return true;
        }
    return false;
}

static void enter(unsigned type)
{
    uint16_t cnt = (uint16_t)acpi.pm1_cnt;

    outw(cnt, (uint16_t)(PM1_SLP_EN | (type & 7) << 10 | (inw(cnt) & PM1_SCI_EN)));
}

void acpi_poweroff(void)
{
    unsigned type = 0;

    sleep_type("_S5_", &type);
    enter(type);
}

bool acpi_suspend(uint32_t waking_vector)
{
    unsigned type;

    if (!acpi.facs || !sleep_type("_S3_", &type))
        return false;
    *(volatile uint32_t *)(acpi.facs + 12) = waking_vector;
    enter(type);
    return true;
}

uint16_t acpi_status(void)
{
    return inw((uint16_t)acpi.pm1_evt);
}
