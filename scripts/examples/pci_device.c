/*
 * pci_device.c: a PCI device outside the library, and a machine with it.
 *
 *   cc pci_device.c $(pkg-config --cflags --libs lunik) && ./a.out
 *
 * The device squares numbers. Its registers are the first BAR, 16 bytes of memory, 32 bits each:
 *
 *   00  operand: writing it computes the result and asserts INTA#
 *   04  result
 *   08  status: bit 0 is set with the result; writing 1 clears it and lowers INTA#
 *
 * main() does what firmware and a driver do: finds the device, gives its BAR an address, uses it.
 * In between it saves the device's state and loads it again. The machine has no vCPU, so that this
 * runs anywhere.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lunik_pci.h>

/* ---- the device ----------------------------------------------------------------------------- */

#define REG_OPERAND 0x00
#define REG_RESULT  0x04
#define REG_STATUS  0x08
#define STATUS_DONE 0x01
#define REGS_SIZE   0x10

struct square {
    lunik_object *bus; /* both set by LUNIK_PCI_DEVICE_PROPS */
    char *addr;
    lunik_pci_function function;
    lunik_region *regs;
    uint32_t operand, result, status;
};

static void reset(lunik_object *o)
{
    struct square *s = lunik_state(o);

    s->operand = s->result = s->status = 0;
    lunik_pci_function_reset(&s->function);
}

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct square *s = opaque;

    switch (offset) {
    case REG_OPERAND:
        *value = s->operand;
        break;
    case REG_RESULT:
        *value = s->result;
        break;
    case REG_STATUS:
        *value = s->status;
        break;
    default:
        *value = 0;
    }
    return LUNIK_ACCESS_OK;
}

static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct square *s = opaque;

    if (offset == REG_OPERAND) {
        s->operand = (uint32_t)value;
        s->result = s->operand * s->operand;
        s->status |= STATUS_DONE;
    } else if (offset == REG_STATUS) {
        s->status &= ~(uint32_t)value;
    }
    lunik_pci_intx_set(&s->function, s->status & STATUS_DONE);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops regs_ops = {
    .read = read,
    .write = write,
    .valid = {.min = 4, .max = 4},
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct square *s = lunik_state(o);
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO,
        .name = "square-regs",
        .size = REGS_SIZE,
        .owner = o,
        .ops = &regs_ops,
        .opaque = s,
    };
    int rc = lunik_region_new(lunik_object_machine(o), &config, &s->regs, err);

    if (rc)
        return rc;
    lunik_pci_function_init(&s->function, o, 0x1234, 0x5a5a, 1, 0xff0000);
    s->function.initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    rc = lunik_pci_bar_init(&s->function, 0, LUNIK_PCI_BAR_MEM32, s->regs, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc) {
        lunik_pci_device_remove(&s->function);
        lunik_region_unref(s->regs);
    }
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct square *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    lunik_region_unref(s->regs);
}

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct square, "4.0"),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct square, function, &lunik_pci_function_state),
    LUNIK_STATE(struct square, operand),
    LUNIK_STATE(struct square, result),
    LUNIK_STATE(struct square, status),
    {0},
};

static const lunik_state_table state_table = {
    .name = "square",
    .version = 1,
    .size = sizeof(struct square),
    .fields = state_fields,
};

static const lunik_type square_type = {
    .name = "square",
    .doc = "Squares 32-bit numbers.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct square),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};

/* ---- a machine with it ---------------------------------------------------------------------- */

#define SLOT        4
#define BAR_ADDRESS 0xe0000000u
#define IRQ         11

static void check(int rc, const lunik_error *err)
{
    if (!rc)
        return;
    fprintf(stderr, "pci_device: %s\n", err->message);
    exit(1);
}

/* Selects a register of the device; returns the port at which it is accessed. */
static uint16_t select_register(lunik_machine *m, unsigned offset)
{
    lunik_space_store(lunik_machine_io(m), 0xcf8, 4, 0x80000000u | SLOT << 11 | (offset & 0xfc));
    return (uint16_t)(0xcfc + (offset & 3));
}

static uint64_t get_config(lunik_machine *m, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    lunik_space_load(lunik_machine_io(m), select_register(m, offset), size, &value);
    return value;
}

static void set_config(lunik_machine *m, unsigned offset, unsigned size, uint64_t value)
{
    lunik_space_store(lunik_machine_io(m), select_register(m, offset), size, value);
}

static uint32_t get(lunik_machine *m, unsigned reg)
{
    uint64_t value = 0;

    lunik_space_load(lunik_machine_memory(m), BAR_ADDRESS + reg, 4, &value);
    return (uint32_t)value;
}

static void set(lunik_machine *m, unsigned reg, uint32_t value)
{
    lunik_space_store(lunik_machine_memory(m), BAR_ADDRESS + reg, 4, value);
}

static void add_devices(lunik_machine *m, lunik_object **card)
{
    const lunik_field ram[] = {LUNIK_FIELD_STRING("id", "ram"), LUNIK_FIELD_UINT("size", 1u << 20)};
    const lunik_field host[] = {LUNIK_FIELD_STRING("id", "pci"), LUNIK_FIELD_STRING("ram", "ram")};
    const lunik_field isa[] = {LUNIK_FIELD_STRING("bus", "pci"), LUNIK_FIELD_UINT("pirq-d", IRQ)};
    const lunik_field square[] = {LUNIK_FIELD_STRING("bus", "pci")};
    lunik_error err;

    check(lunik_object_add(m, "memory-backend-ram", ram, 2, NULL, &err), &err);
    check(lunik_device_add(m, "i440fx", host, 2, NULL, &err), &err);
    check(lunik_device_add(m, "piix3", isa, 2, NULL, &err), &err);
    check(lunik_device_add(m, "square", square, 1, card, &err), &err);
}

static void report(lunik_machine *m)
{
    printf("status %" PRIu32 ", interrupt %d is %s\n", get(m, REG_STATUS), IRQ,
           lunik_gsi_level(m, IRQ) ? "high" : "low");
}

/* What the driver has set is there again when the state of then is loaded. */
static void save_and_load(lunik_machine *m, lunik_object *square)
{
    lunik_state_buffer saved = {0};
    lunik_error err;

    check(lunik_machine_pause(m, &err), &err);
    check(lunik_object_save(square, &saved, &err), &err);
    check(lunik_machine_reset(m, &err), &err);
    check(lunik_object_load(square, saved.data, saved.size, &err), &err);
    lunik_state_buffer_free(&saved);
    check(lunik_machine_start(m, &err), &err);
}

static void drive(lunik_machine *m, lunik_object *square)
{
    printf("found %04" PRIx64 ":%04" PRIx64 "\n", get_config(m, LUNIK_PCI_VENDOR_ID, 2),
           get_config(m, LUNIK_PCI_DEVICE_ID, 2));
    set_config(m, LUNIK_PCI_BAR0, 4, BAR_ADDRESS);
    set_config(m, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    set(m, REG_OPERAND, 111);
    printf("111 squared is %" PRIu32 "\n", get(m, REG_RESULT));
    report(m);
    save_and_load(m, square);
    printf("loaded: %" PRIu32 ", ", get(m, REG_RESULT));
    report(m);
    set(m, REG_STATUS, STATUS_DONE);
    report(m);
}

int main(void)
{
    const lunik_machine_config config = {.name = "pci", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_object *square;
    lunik_error err;

    check(lunik_runtime_new(lunik_builtin_types(), &rt, &err), &err);
    check(lunik_type_add(rt, &square_type, &err), &err);
    check(lunik_machine_new(rt, &config, &m, &err), &err);
    add_devices(m, &square);
    check(lunik_machine_start(m, &err), &err);
    drive(m, square);
    lunik_machine_close(m);
    lunik_runtime_free(rt);
    return 0;
}
