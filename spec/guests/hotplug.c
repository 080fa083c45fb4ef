/*
 * hotplug.c: memory hotplug by the register block of QEMU's acpi_mem_hotplug specification, as the
 * ACPI methods would use it. Where the block is, how many slots it has and which event it raises is
 * read from the DSDT: the names that acpi/memory_hotplug.asl gives these numbers; or options say
 * so.
 */
#include "guest.h"

#define ADDR_LO  (port + 0x00) /* write: slot selector */
#define ADDR_HI  (port + 0x04) /* write: _OST event */
#define SIZE_LO  (port + 0x08) /* write: _OST status */
#define SIZE_HI  (port + 0x0c)
#define NODE     (port + 0x10)
#define FLAGS    (port + 0x14)
#define SELECTOR ADDR_LO
#define OST_EV   ADDR_HI
#define OST_ST   SIZE_LO

#define ENABLED   0x01
#define INSERTING 0x02
#define REMOVING  0x04
#define EJECT     0x08

#define MAX_SLOTS 256

#define EVENT_CHECK        1
#define EVENT_EJECT        3
#define STATUS_OK          0
#define STATUS_FAILED      1
#define STATUS_BUSY        0x82
#define STATUS_IN_PROGRESS 0x84

static uint16_t port;

static struct {
    bool mapped;
    uint64_t base, size;
} slots[MAX_SLOTS];

unsigned hotplug_inserted, hotplug_ejected;

static void report(unsigned slot, uint32_t event, uint32_t status)
{
    outl(SELECTOR, slot);
    outl(OST_EV, event);
    outl(OST_ST, status);
}

/* One word a page, or all of it. */
static bool test_pattern(unsigned slot, enum work_kind kind)
{
    struct work w = {.kind = kind,
                     .address = slots[slot].base,
                     .size = slots[slot].size,
                     .stride = options.full_test ? 8 : PAGE,
                     .value = 0x5a5a000000000000ull + slot};
    int vector = work_run(&w);

    if (vector >= 0)
        print("hotplug: slot %u exception %u at 0x%lx\n", slot, (unsigned)vector,
              call_fault_address());
    else if (w.differs)
        print("hotplug: slot %u differs at 0x%lx: 0x%lx\n", slot, w.bad, w.found);
    return vector < 0 && !w.differs;
}

static bool take_in(unsigned slot)
{
    uint64_t base = slots[slot].base, size = slots[slot].size;

    if (!paging_map(base, size)) {
        print("hotplug: slot %u can't be mapped\n", slot);
        return false;
    }
    slots[slot].mapped = true;
    if (!test_pattern(slot, WORK_WRITE) || !test_pattern(slot, WORK_VERIFY))
        return false;
    print("hotplug: slot %u tested %lu %s ok\n", slot, size / (options.full_test ? 8 : PAGE),
          options.full_test ? "words" : "pages");
    return true;
}

static void drop(unsigned slot)
{
    if (slots[slot].mapped)
        paging_unmap(slots[slot].base, slots[slot].size);
    slots[slot].mapped = false;
}

/* The selected slot has memory; how says why it is looked at. */
static void read_slot(unsigned slot, const char *how)
{
    slots[slot].base = inl(ADDR_LO) | (uint64_t)inl(ADDR_HI) << 32;
    slots[slot].size = inl(SIZE_LO) | (uint64_t)inl(SIZE_HI) << 32;
    print("hotplug: slot %u %s 0x%lx size 0x%lx node %u\n", slot, how, slots[slot].base,
          slots[slot].size, inl(NODE));
}

static void insert(unsigned slot)
{
    read_slot(slot, "added");
    outl(FLAGS, INSERTING);
    if (options.refuse_insert || !take_in(slot)) {
        drop(slot);
        report(slot, EVENT_CHECK, STATUS_FAILED);
        print("hotplug: slot %u refused\n", slot);
        return;
    }
    report(slot, EVENT_CHECK, STATUS_OK);
    print("hotplug: slot %u accepted\n", slot);
    hotplug_inserted++;
}

static void eject(unsigned slot)
{
    print("hotplug: slot %u eject requested\n", slot);
    outl(FLAGS, REMOVING);
    if (options.refuse_eject) {
        report(slot, EVENT_EJECT, STATUS_BUSY);
        print("hotplug: slot %u kept\n", slot);
        return;
    }
    report(slot, EVENT_EJECT, STATUS_IN_PROGRESS);
    if (slots[slot].mapped)
        print("hotplug: slot %u contents %s\n", slot,
              test_pattern(slot, WORK_VERIFY) ? "ok" : "changed");
    drop(slot);
    outl(SELECTOR, slot);
    outl(FLAGS, EJECT);
    /* Other memory may be in the slot by now. */
    if ((inl(FLAGS) & (ENABLED | INSERTING)) == ENABLED) {
        print("hotplug: slot %u eject failed\n", slot);
        return;
    }
    print("hotplug: slot %u ejected\n", slot);
    hotplug_ejected++;
}

void hotplug_scan(void)
{
    for (unsigned slot = 0; slot < options.slots; slot++) {
        outl(SELECTOR, slot);
        if (inl(FLAGS) & INSERTING)
            insert(slot);
        outl(SELECTOR, slot);
        if (inl(FLAGS) & REMOVING)
            eject(slot);
    }
}

/* Finds the register block; false if there is none. */
static bool find_registers(uint32_t *gpe)
{
    uint32_t base, count;

    if (!acpi_dsdt_number("MHIO", &base) || !acpi_dsdt_number("MHSL", &count) ||
        !acpi_dsdt_number("MHGP", gpe)) {
        base = (uint32_t)options.slots_port;
        count = MAX_SLOTS;
        *gpe = (uint32_t)options.slots_gpe;
    }
    if (!base || base > 0xffff)
        return false;
    port = (uint16_t)base;
    if (count > MAX_SLOTS)
        count = MAX_SLOTS;
    if (options.slots > count)
        options.slots = count;
    outl(SELECTOR, 0);
    return !(inl(FLAGS) & ~0xfu);
}

/* Takes memory that was there before the guest: it has no event. */
static uint32_t gpe;

void hotplug_init(void)
{
    unsigned present = 0;

    if (!find_registers(&gpe)) {
        print("hotplug: no register block\n");
        options.slots = 0;
        return;
    }
    for (unsigned slot = 0; slot < options.slots; slot++) {
        outl(SELECTOR, slot);
        if ((inl(FLAGS) & (ENABLED | INSERTING)) != ENABLED)
            continue;
        read_slot(slot, "present");
        if (!take_in(slot))
            drop(slot);
        present++;
    }
    acpi_enable_gpe(gpe);
    print("hotplug: ready, %u slots in use\n", present);
    hotplug_scan(); /* what came before the GPE was enabled */
}

void hotplug_resume(void)
{
    if (!options.slots)
        return;
    acpi_enable_gpe(gpe);
    hotplug_scan();
}

void hotplug_print(void)
{
    for (unsigned slot = 0; slot < options.slots; slot++) {
        uint32_t flags;

        outl(SELECTOR, slot);
        flags = inl(FLAGS);
        if (flags)
            print("slot %u flags 0x%x base 0x%lx size 0x%lx node %u %s\n", slot, flags,
                  inl(ADDR_LO) | (uint64_t)inl(ADDR_HI) << 32,
                  inl(SIZE_LO) | (uint64_t)inl(SIZE_HI) << 32, inl(NODE),
                  slots[slot].mapped ? "mapped" : "unmapped");
    }
}
