/* test_memory_hotplug.c: the registers of ACPI memory hotplug, with 1 to 256 slots. */
#include "devices/memory/memory_hotplug_chip.h"
#include "check.h"

struct model {
    struct memory_slots slots;
    unsigned ejects, osts, last_slot;
    uint32_t last_event, last_status;
};

static void on_eject(struct memory_slots *s, unsigned slot)
{
    struct model *m = (struct model *)s;

    m->ejects++;
    m->last_slot = slot;
    s->slot[slot] = (struct memory_slot){.enabled = false};
}

static void on_ost(struct memory_slots *s, unsigned slot, uint32_t event, uint32_t status)
{
    struct model *m = (struct model *)s;

    m->osts++;
    m->last_slot = slot;
    m->last_event = event;
    m->last_status = status;
}

static const struct memory_slots_ops ops = {.eject = on_eject, .ost = on_ost};

static void start(struct model *m, unsigned count)
{
    *m = (struct model){.ejects = 0};
    memory_slots_init(&m->slots, count, &ops);
}

static uint32_t rd(struct model *m, unsigned offset)
{
    return memory_slots_read(&m->slots, offset);
}

static void wr(struct model *m, unsigned offset, uint32_t value)
{
    memory_slots_write(&m->slots, offset, value);
}

static void test_every_slot_is_its_own(void)
{
    struct model m;
    unsigned wrong = 0;

    start(&m, 256);
    for (unsigned i = 0; i < 256; i++)
        m.slots.slot[i] = (struct memory_slot){.address = 0x100000000 + i * UINT64_C(0x140000000),
                                               .size = 0x40000000 + i * UINT64_C(0x100200000),
                                               .node = i * 3,
                                               .enabled = i & 1,
                                               .inserting = i & 2,
                                               .removing = i & 4};
    for (unsigned i = 0; i < 256; i++) {
        wr(&m, MHP_SELECTOR, i);
        uint64_t address = rd(&m, MHP_ADDR_LOW) | (uint64_t)rd(&m, MHP_ADDR_HIGH) << 32;
        uint64_t size = rd(&m, MHP_SIZE_LOW) | (uint64_t)rd(&m, MHP_SIZE_HIGH) << 32;
        wrong += address != m.slots.slot[i].address || size != m.slots.slot[i].size ||
                 rd(&m, MHP_NODE) != i * 3 || rd(&m, MHP_CONTROL) != (i & 7);
    }
    check_uint("256 slots read back what they hold", wrong, 0);
}

static void test_holes_and_bad_selectors(void)
{
    struct model m;
    unsigned wrong = 0;

    start(&m, 4);
    for (unsigned offset = 0; offset < MEMORY_SLOTS_SIZE; offset++)
        if (offset % 4 || offset > MHP_CONTROL)
            wrong += rd(&m, offset) != UINT32_MAX;
    check_uint("what is no register reads as all ones", wrong, 0);
    m.slots.slot[0].enabled = true;
    for (unsigned i = 0; i < 3; i++) {
        const uint32_t selectors[] = {4, 256, UINT32_MAX};
        wr(&m, MHP_SELECTOR, selectors[i]);
        for (unsigned offset = 0; offset < MEMORY_SLOTS_SIZE; offset++)
            wrong += rd(&m, offset) != 0;
        wr(&m, MHP_OST_EVENT, 1);
        wr(&m, MHP_OST_STATUS, 1);
        wr(&m, MHP_CONTROL, MHP_EJECT);
    }
    check_uint("a selector without a slot reads as zero", wrong, 0);
    check_uint("and takes no eject", m.ejects, 0);
    check_uint("and no _OST", m.osts, 0);
    wr(&m, MHP_SELECTOR, 0);
    check_uint("the selector itself can be set again", rd(&m, MHP_CONTROL), MHP_ENABLED);
    start(&m, 0);
    wr(&m, MHP_SELECTOR, 0);
    wr(&m, MHP_CONTROL, MHP_EJECT);
    check_uint("without slots everything reads as zero", rd(&m, MHP_SIZE_LOW), 0);
}

static void test_control(void)
{
    struct model m;

    start(&m, 2);
    wr(&m, MHP_SELECTOR, 1);
    m.slots.slot[1] = (struct memory_slot){.enabled = true, .inserting = true, .removing = true};
    wr(&m, MHP_CONTROL, MHP_INSERT | MHP_REMOVE | MHP_EJECT);
    check_uint("insert is cleared before all else", rd(&m, MHP_CONTROL), MHP_ENABLED | MHP_REMOVE);
    wr(&m, MHP_CONTROL, MHP_REMOVE | MHP_EJECT);
    check_uint("then remove", rd(&m, MHP_CONTROL), MHP_ENABLED);
    wr(&m, MHP_CONTROL, MHP_ENABLED | 0xf0);
    check_uint("other bits do nothing", rd(&m, MHP_CONTROL), MHP_ENABLED);
    check_uint("no eject so far", m.ejects, 0);
    wr(&m, MHP_CONTROL, MHP_EJECT);
    check_uint("eject reaches the machine", m.ejects, 1);
    check_uint("with its slot", m.last_slot, 1);
    wr(&m, MHP_CONTROL, MHP_EJECT);
    check_uint("an empty slot is not ejected", m.ejects, 1);
}

static void test_ost(void)
{
    struct model m;

    start(&m, 256);
    wr(&m, MHP_SELECTOR, 255);
    wr(&m, MHP_OST_EVENT, 0x103);
    check_uint("the event alone says nothing", m.osts, 0);
    wr(&m, MHP_OST_STATUS, 0x84);
    check_uint("the status concludes it", m.osts, 1);
    check_uint("slot", m.last_slot, 255);
    check_uint("event", m.last_event, 0x103);
    check_uint("status", m.last_status, 0x84);
    wr(&m, MHP_SIZE_HIGH, 7);
    wr(&m, MHP_NODE, 7);
    check_uint("other registers can't be written", rd(&m, MHP_NODE) | rd(&m, MHP_SIZE_HIGH), 0);
}

static void test_reset(void)
{
    struct model m;

    start(&m, 3);
    wr(&m, MHP_SELECTOR, 2);
    m.slots.slot[0] =
        (struct memory_slot){.size = 0x1000, .enabled = true, .inserting = true, .removing = true};
    memory_slots_reset(&m.slots);
    check_uint("reset selects slot 0, which forgets its events", rd(&m, MHP_CONTROL), MHP_ENABLED);
    check_uint("and keeps its memory", rd(&m, MHP_SIZE_LOW), 0x1000);
}

int main(void)
{
    test_every_slot_is_its_own();
    test_holes_and_bad_selectors();
    test_control();
    test_ost();
    test_reset();
    return check_result();
}
