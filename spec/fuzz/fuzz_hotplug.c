/*
 * fuzz_hotplug.c: the memory hotplug registers with DIMMs that come and go, against a model of the
 * protocol (QEMU's docs/specs/acpi_mem_hotplug.rst). -max_len=512 -runs=550
 */
#include "board.h"

enum { PORTS = 0xa00, STATUS = 0xa18, GPE0 = 0xafe0, SLOTS = 4, DIMMS = 6, WINDOW_MIB = 64 };
enum { ENABLED = 1, INSERTING = 2, REMOVING = 4, EJECT = 8 };

struct slot {
    int dimm; /* -1: empty */
    uint64_t address, size;
    bool inserting, removing;
};

static struct {
    struct slot slots[SLOTS];
    uint32_t selector;
    bool started;
    uint64_t used;
    uint32_t event[SLOTS]; /* of _OST */
} model;

static lunik_object *dimm_object(unsigned n)
{
    char id[16];

    snprintf(id, sizeof(id), "dimm%u", n);
    return lunik_object_find(board, id);
}

static int slot_of(unsigned dimm)
{
    for (int i = 0; i < SLOTS; i++)
        if (model.slots[i].dimm == (int)dimm)
            return i;
    return -1;
}

static void empty(struct slot *s)
{
    model.used -= s->size;
    *s = (struct slot){.dimm = -1};
}

/* ---- the user ------------------------------------------------------------------------------- */

static void plug(void)
{
    unsigned n = fuzz_below(DIMMS);
    uint64_t mib = 2ull << fuzz_below(6);
    lunik_error err = {0};
    int rc = board_plug(n, mib, &err), slot = 0;
    lunik_value address;

    while (slot < SLOTS && model.slots[slot].dimm >= 0)
        slot++;
    if (slot_of(n) >= 0)
        fuzz_check(rc == LUNIK_E_EXISTS, "dimm%u twice: %d %s", n, rc, err.message);
    else if (slot == SLOTS || model.used + (mib << 20) > (uint64_t)WINDOW_MIB << 20)
        fuzz_check(rc == LUNIK_E_NO_SPACE, "no room: %d %s", rc, err.message);
    else
        fuzz_must(rc, err);
    if (rc)
        return;
    fuzz_must(lunik_object_get(dimm_object(n), "addr", &address, &err), err);
    model.slots[slot] = (struct slot){
        .dimm = (int)n, .address = address.uint, .size = mib << 20, .inserting = model.started};
    model.used += mib << 20;
}

static void drop_backend(unsigned n)
{
    char mem[16];
    lunik_error err = {0};

    snprintf(mem, sizeof(mem), "mem%u", n);
    fuzz_must(lunik_object_del(board, mem, &err), err);
}

static void unplug(void)
{
    unsigned n = fuzz_below(DIMMS);
    int slot = slot_of(n), rc;
    char id[16];

    snprintf(id, sizeof(id), "dimm%u", n);
    rc = lunik_device_del(board, id, NULL);
    fuzz_check(rc == (slot < 0 ? LUNIK_E_NOT_FOUND : 0), "device_del of %s: %d", id, rc);
    if (slot >= 0 && !model.started) {
        empty(&model.slots[slot]);
        drop_backend(n);
    } else if (slot >= 0) {
        model.slots[slot].removing = true;
    }
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void eject(struct slot *s)
{
    unsigned n = (unsigned)s->dimm;

    if (s->dimm < 0)
        return;
    fuzz_check(!dimm_object(n), "dimm%u stays", n);
    empty(s);
    drop_backend(n);
}

static void model_write(unsigned offset, uint32_t value)
{
    struct slot *s;

    if (offset == 0) {
        model.selector = value;
        return;
    }
    if (model.selector >= SLOTS)
        return;
    s = &model.slots[model.selector];
    if (offset == 4)
        model.event[model.selector] = value;
    if (offset != 0x14)
        return;
    if (value & INSERTING)
        s->inserting = false;
    else if (value & REMOVING)
        s->removing = false;
    else if (value & EJECT)
        eject(s);
}

static uint32_t model_read(unsigned offset)
{
    const struct slot *s;

    if (model.selector >= SLOTS)
        return 0;
    s = &model.slots[model.selector];
    switch (offset) {
    case 0x00:
        return (uint32_t)s->address;
    case 0x04:
        return (uint32_t)(s->address >> 32);
    case 0x08:
        return (uint32_t)s->size;
    case 0x0c:
        return (uint32_t)(s->size >> 32);
    case 0x10:
        return 0; /* the node */
    case 0x14:
        return (s->dimm >= 0 ? ENABLED : 0) | (s->inserting ? INSERTING : 0) |
               (s->removing ? REMOVING : 0);
    default:
        return UINT32_MAX;
    }
}

/* A device that refused to go may be asked again; a refused one stays. */
static void guest_write(void)
{
    unsigned offset = 4 * fuzz_below(6), size = 1u << fuzz_below(3);
    uint32_t value = (uint32_t)fuzz_number(offset == 0 ? 1 : size);

    port_out((uint16_t)(PORTS + offset), size, value);
    model_write(offset, value);
}

static void guest_read(void)
{
    unsigned offset = fuzz_below(24), size = 1u << fuzz_below(3);
    uint32_t value, want = (uint32_t)(model_read(offset) & fuzz_ones(size));

    if (offset + size > 24)
        return;
    value = port_in((uint16_t)(PORTS + offset), size);
    fuzz_check(value == want, "slot 0x%x: offset 0x%x in %u bytes is 0x%x, want 0x%x",
               model.selector, offset, size, value, want);
}

static void reset(void)
{
    board_reset();
    model.selector = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &model.slots[i];
        lunik_object *o = s->dimm < 0 ? NULL : dimm_object((unsigned)s->dimm);

        /* A reset is an answer to a request that is under way. */
        if (s->dimm >= 0 && !o) {
            drop_backend((unsigned)s->dimm);
            empty(s);
        }
        s->inserting = s->removing = false;
    }
}

static void start(void)
{
    lunik_error err = {0};

    fuzz_must(lunik_machine_start(board, &err), err);
    model.selector = 0; /* a start begins with a reset */
}

/* ---- checks --------------------------------------------------------------------------------- */

static void check_slots(void)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *s = &model.slots[i];
        lunik_section section = {0};
        uint32_t status = port_in((uint16_t)(STATUS + i), 1);

        fuzz_check(status == (s->dimm >= 0 ? 0x0f : 0), "slot %u: _STA is 0x%x", i, status);
        if (s->dimm < 0)
            continue;
        fuzz_check(lunik_space_find(board_memory, s->address, &section) &&
                       section.address == s->address && section.size == s->size,
                   "slot %u shows 0x%" PRIx64 " bytes at 0x%" PRIx64 ", want 0x%" PRIx64
                   " at 0x%" PRIx64,
                   i, section.size, section.address, s->size, s->address);
        for (unsigned k = 0; k < i; k++)
            fuzz_check(model.slots[k].dimm < 0 ||
                           model.slots[k].address + model.slots[k].size <= s->address ||
                           s->address + s->size <= model.slots[k].address,
                       "slots %u and %u overlap", k, i);
    }
}

static void operate(void)
{
    switch (fuzz_byte() % 8) {
    case 0:
        plug();
        break;
    case 1:
        unplug();
        break;
    case 2:
        if (fuzz_byte() & 1)
            reset();
        else if (!model.started)
            start();
        model.started = lunik_machine_state(board) != LUNIK_STATE_CREATED;
        break;
    case 3:
        board_load(board_ports, PORTS + fuzz_below(32), 1u << fuzz_below(4));
        break;
    case 4:
        guest_read();
        break;
    default:
        guest_write();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    memset(&model, 0, sizeof(model));
    for (unsigned i = 0; i < SLOTS; i++)
        model.slots[i].dimm = -1;
    board_open("memory = '2M', maxmem = '66M', slots = 4, acpi = false");
    while (fuzz_more()) {
        operate();
        check_slots();
    }
    board_close();
    return 0;
}
