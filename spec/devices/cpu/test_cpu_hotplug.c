/* test_cpu_hotplug.c: the registers of ACPI CPU hotplug, by example and against another model. */
#include "devices/cpu/cpu_hotplug_chip.h"
#include "check.h"
#include "object/state.h"
#include "random.h"

struct bench {
    struct cpu_slots slots;
    unsigned ejects, osts, last_slot;
    uint32_t last_event, last_status;
};

static void on_eject(struct cpu_slots *s, unsigned slot)
{
    struct bench *b = (struct bench *)s;

    b->ejects++;
    b->last_slot = slot;
    s->slot[slot] = (struct cpu_slot){.enabled = false};
}

static void on_ost(struct cpu_slots *s, unsigned slot, uint32_t event, uint32_t status)
{
    struct bench *b = (struct bench *)s;

    b->osts++;
    b->last_slot = slot;
    b->last_event = event;
    b->last_status = status;
}

static const struct cpu_slots_ops ops = {.eject = on_eject, .ost = on_ost};

static uint32_t rd(const struct bench *b, unsigned offset)
{
    return cpu_slots_read(&b->slots, offset);
}

static void wr(struct bench *b, unsigned offset, uint32_t value)
{
    cpu_slots_write(&b->slots, offset, value);
}

/* Behind the bitmap, with CPU 0. */
static void start_legacy(struct bench *b, unsigned count)
{
    *b = (struct bench){.ejects = 0};
    cpu_slots_init(&b->slots, count, &ops);
    b->slots.slot[0].enabled = count > 0;
}

static void start(struct bench *b, unsigned count)
{
    start_legacy(b, count);
    wr(b, CHP_SELECTOR, 0);
}

/* ---- by example ----------------------------------------------------------------------------- */

static void test_bitmap(void)
{
    struct bench b;

    start_legacy(&b, 40);
    b.slots.slot[33].enabled = true;
    check_uint("bit 0: the first CPU", rd(&b, 0), 1);
    check_uint("bit 33", rd(&b, 4), 2);
    check_uint("read from the middle", rd(&b, 1), 2u << 24);
    check_uint("nothing beyond the CPUs", rd(&b, 5) | rd(&b, 28), 0);
    wr(&b, 0, 1);
    wr(&b, 4, 0);
    wr(&b, CHP_FLAGS, CHP_EJECT);
    check_uint("other writes do nothing", rd(&b, 0), 1);
    wr(&b, 0, 0);
    check_uint("a 0 at the start switches: data 2", rd(&b, CHP_DATA_2), 0);
    check_uint("and flags", rd(&b, CHP_FLAGS), CHP_ENABLED);
    cpu_slots_reset(&b.slots);
    check_uint("a reset switches back", rd(&b, 4), 2);
}

static void test_next_with_event(void)
{
    struct bench b;

    start(&b, 8);
    wr(&b, CHP_COMMAND, CHP_NEXT_WITH_EVENT);
    check_uint("no event: the selected CPU stays", rd(&b, CHP_DATA), 0);
    b.slots.slot[2].removing = b.slots.slot[6].inserting = true;
    b.slots.slot[2].enabled = b.slots.slot[6].enabled = true;
    wr(&b, CHP_COMMAND, CHP_NEXT_WITH_EVENT);
    check_uint("the next one", rd(&b, CHP_DATA), 2);
    check_uint("is selected", rd(&b, CHP_FLAGS), CHP_ENABLED | CHP_REMOVE);
    wr(&b, CHP_COMMAND, CHP_NEXT_WITH_EVENT);
    check_uint("until its event is cleared", rd(&b, CHP_DATA), 2);
    wr(&b, CHP_FLAGS, CHP_REMOVE);
    wr(&b, CHP_COMMAND, CHP_NEXT_WITH_EVENT);
    check_uint("then the one after it", rd(&b, CHP_DATA), 6);
    wr(&b, CHP_SELECTOR, 7);
    wr(&b, CHP_COMMAND, CHP_NEXT_WITH_EVENT);
    check_uint("round the end", rd(&b, CHP_DATA), 6);
    wr(&b, CHP_SELECTOR, 7);
    wr(&b, CHP_COMMAND, CHP_ARCH_ID);
    check_uint("its APIC id", rd(&b, CHP_DATA), 7);
    check_uint("upper half", rd(&b, CHP_DATA_2), 0);
    wr(&b, CHP_COMMAND, 4);
    check_uint("no command: the last one stays", rd(&b, CHP_DATA), 7);
}

static void test_eject(void)
{
    struct bench b;

    start(&b, 3);
    b.slots.slot[1] = (struct cpu_slot){.enabled = true, .inserting = true, .removing = true};
    wr(&b, CHP_FLAGS, CHP_EJECT);
    check_uint("the first CPU can't be ejected", b.ejects, 0);
    wr(&b, CHP_SELECTOR, 1);
    wr(&b, CHP_FLAGS, CHP_INSERT | CHP_REMOVE | CHP_EJECT);
    check_uint("insert is cleared before all else", rd(&b, CHP_FLAGS), CHP_ENABLED | CHP_REMOVE);
    wr(&b, CHP_FLAGS, CHP_REMOVE | CHP_EJECT);
    check_uint("then remove", rd(&b, CHP_FLAGS), CHP_ENABLED);
    wr(&b, CHP_FLAGS, CHP_FIRMWARE_EJECT);
    check_uint("handed to firmware", rd(&b, CHP_FLAGS), CHP_ENABLED | CHP_FIRMWARE_EJECT);
    wr(&b, CHP_FLAGS, CHP_FIRMWARE_EJECT);
    check_uint("and back", rd(&b, CHP_FLAGS), CHP_ENABLED);
    check_uint("no eject so far", b.ejects, 0);
    wr(&b, CHP_FLAGS, CHP_EJECT);
    check_uint("eject reaches the machine", b.ejects, 1);
    check_uint("with its CPU", b.last_slot, 1);
    wr(&b, CHP_FLAGS, CHP_EJECT);
    check_uint("one that is not there is not ejected", b.ejects, 1);
    wr(&b, CHP_SELECTOR, 3);
    wr(&b, CHP_FLAGS, CHP_EJECT);
    check_uint("nor one that can't be", b.ejects, 1);
    check_uint("which reads as zero", rd(&b, CHP_FLAGS) | rd(&b, CHP_DATA), 0);
}

static void test_ost(void)
{
    struct bench b;

    start(&b, 255);
    wr(&b, CHP_SELECTOR, 254);
    wr(&b, CHP_COMMAND, CHP_OST_EVENT);
    wr(&b, CHP_DATA, 0x103);
    check_uint("the event alone says nothing", b.osts, 0);
    wr(&b, CHP_COMMAND, CHP_OST_STATUS);
    check_uint("data is not read meanwhile", rd(&b, CHP_DATA), 0);
    wr(&b, CHP_DATA, 0x84);
    check_uint("the status concludes it", b.osts, 1);
    check_uint("CPU", b.last_slot, 254);
    check_uint("event", b.last_event, 0x103);
    check_uint("status", b.last_status, 0x84);
}

/* ---- against another model ------------------------------------------------------------------- */

/* The specification as a list of facts about each CPU, kept in arrays of their own. */
static struct {
    unsigned count, ejects, osts;
    bool modern, there[CPU_SLOTS_MOST];
    unsigned events[CPU_SLOTS_MOST]; /* as in the flags */
    uint64_t selected;
    unsigned command;
} model;

static void model_command(unsigned command)
{
    uint64_t from = model.selected;

    if (command > 3)
        return;
    model.command = command;
    if (command)
        return;
    for (uint64_t k = from; k < from + model.count; k++)
        if (model.events[k % model.count]) {
            model.selected = k % model.count;
            break;
        }
}

static void model_flags(uint64_t cpu, unsigned value)
{
    bool can_go = cpu && model.there[cpu];

    if (value & 2)
        model.events[cpu] &= ~2u;
    else if (value & 4)
        model.events[cpu] &= ~4u;
    else if (value & 8 && can_go) {
        model.ejects++;
        model.there[cpu] = false;
        model.events[cpu] = 0;
    } else if ((value & 24) == 16 && can_go)
        model.events[cpu] ^= 16;
}

static void model_write(unsigned offset, uint32_t value)
{
    if (!model.modern) {
        model.modern = !offset && !value;
        return;
    }
    if (!offset)
        model.selected = value;
    if (!offset || model.selected >= model.count)
        return;
    if (offset == 4)
        model_flags(model.selected, value & 0xff);
    else if (offset == 5)
        model_command(value & 0xff);
    else if (offset == 8 && model.command == 2)
        model.osts++;
}

static uint32_t model_read(unsigned offset)
{
    uint32_t bits = 0;

    if (!model.modern) {
        for (unsigned bit = 0; bit < 32; bit++)
            if (offset * 8 + bit < model.count && model.there[offset * 8 + bit])
                bits |= 1u << bit;
        return bits;
    }
    if (model.selected >= model.count)
        return 0;
    if (offset == 4)
        return model.events[model.selected] | model.there[model.selected];
    return offset == 8 && model.command % 3 == 0 ? (uint32_t)model.selected : 0;
}

/* The machine: a CPU is plugged, or asked to go. */
static void happen(struct bench *b)
{
    unsigned cpu = chance(model.count);

    if (!model.there[cpu]) {
        model.there[cpu] = true;
        model.events[cpu] = 2;
        b->slots.slot[cpu] = (struct cpu_slot){.enabled = true, .inserting = true};
    } else if (cpu) {
        model.events[cpu] |= 4;
        b->slots.slot[cpu].removing = true;
    }
}

static void reset_both(struct bench *b)
{
    cpu_slots_reset(&b->slots);
    model.modern = false;
    model.selected = model.command = 0;
    memset(model.events, 0, sizeof(model.events));
}

/* Saves all of it and loads it into another, which goes on in its place. */
static bool reload(struct bench *b)
{
    static struct cpu_slots other;
    lunik_state_buffer buffer = {0};
    lunik_error err = {0};
    struct state_reader reader;
    void *staged = NULL;
    int rc = state_save(&cpu_slots_state, &b->slots, 0, &buffer, &err);

    cpu_slots_init(&other, b->slots.count, &ops);
    reader = (struct state_reader){buffer.data, buffer.size, 0, &err};
    if (!rc)
        rc = state_stage(&cpu_slots_state, &other, &reader, &staged);
    if (!rc)
        state_exchange(&cpu_slots_state, &other, staged);
    state_discard(&cpu_slots_state, staged);
    lunik_state_buffer_free(&buffer);
    b->slots = other;
    return !rc;
}

static uint32_t some_value(void)
{
    switch (chance(4)) {
    case 0:
        return chance(model.count + 2);
    case 1:
        return 1u << chance(32);
    case 2:
        return 0;
    default:
        return chance(256);
    }
}

static unsigned step(struct bench *b)
{
    unsigned offset = chance(16);
    uint32_t value;

    switch (chance(16)) {
    case 0:
    case 1:
        happen(b);
        return 0;
    case 2:
        if (!chance(20))
            reset_both(b);
        return 0;
    case 3:
        return !chance(20) && !reload(b);
    default:
        value = some_value();
        offset = chance(4) ? (const unsigned[]){0, 4, 5, 8}[chance(4)] : offset;
        wr(b, offset, value);
        model_write(offset, value);
    }
    offset = chance(32);
    return rd(b, offset) != model_read(offset) || b->ejects != model.ejects ||
           b->osts != model.osts;
}

static void test_model(unsigned count, unsigned steps)
{
    struct bench b;
    unsigned wrong = 0;
    char name[64];

    memset(&model, 0, sizeof(model));
    model.count = count;
    model.there[0] = true;
    start_legacy(&b, count);
    for (unsigned i = 0; i < steps; i++)
        wrong += step(&b);
    snprintf(name, sizeof(name), "%u CPUs, %u random steps: as the other model has it", count,
             steps);
    check_uint(name, wrong, 0);
    check_true("  with ejects and reports", count == 1 || (b.ejects > 0 && b.osts > 0));
}

int main(void)
{
    test_bitmap();
    test_next_with_event();
    test_eject();
    test_ost();
    test_model(1, 20000);
    test_model(4, 100000);
    test_model(33, 100000);
    test_model(255, 100000);
    return check_result();
}
