/*
 * device_pci.c: PCI devices that scripts define. Their types descend from one that has the
 * function, so what is saved of it, and its end, depend on no Lua state.
 */
#include <stdlib.h>

#include "device.h"

enum { REGIONS = LUNIK_PCI_BARS + 1, DMA_MAX = 1 << 24 };
static const char parent_name[] = "lua-pci-device";

struct lua_pci {
    lunik_object *bus;
    char *addr;
    uint64_t acpi_index;

    lunik_pci_function function;
    lunik_dma *dma;
    lunik_region *regions[REGIONS]; /* references to the BARs' and the ROM's */
};

/* ---- the type they descend from ------------------------------------------------------------- */

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct lua_pci, "auto"),
    LUNIK_PCI_ACPI_INDEX_PROP(struct lua_pci),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct lua_pci, function, &lunik_pci_function_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "pci",
    .version = 1,
    .size = sizeof(struct lua_pci),
    .fields = state_fields,
};

static const lunik_type parent_type = {
    .name = parent_name,
    .doc = "What PCI devices that scripts define have in common.",
    .flags = LUNIK_TYPE_ABSTRACT | LUNIK_TYPE_DEVICE,
    .size = sizeof(struct lua_pci),
    .props = props,
    .hotplug = "pci",
    .state = &state_table,
};

void bind_pci_from(lua_State *L, lunik_runtime *rt, struct lua_type *t)
{
    int table = lua_gettop(L);
    lunik_error err;

    if (!lunik_type_find(rt, parent_name))
        bind_check(L, lunik_type_add(rt, &parent_type, &err), &err);
    t->is_pci = true;
    t->type.parent = parent_name;
    t->type.size = (sizeof(struct lua_pci) + 7) / 8 * 8;
    t->pci = (struct lua_pci_ids){
        .vendor = (uint16_t)bind_number_field(L, table, "vendor"),
        .device = (uint16_t)bind_number_field(L, table, "device"),
        .subsystem_vendor = (uint16_t)bind_number_field(L, table, "subsystem_vendor"),
        .subsystem = (uint16_t)bind_number_field(L, table, "subsystem"),
        .class_code = (uint32_t)bind_number_field(L, table, "class"),
        .revision = (uint8_t)bind_number_field(L, table, "revision"),
        .pin = (uint8_t)bind_number_field(L, table, "pin"),
        .function_reset = bind_number_field(L, table, "function_reset"),
    };
}

/* ---- life cycle ----------------------------------------------------------------------------- */

void bind_pci_remove(lunik_object *o)
{
    struct lua_pci *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    lunik_pci_dma_free(&s->function, s->dma);
    s->dma = NULL;
    for (unsigned i = 0; i < REGIONS; i++) {
        if (s->regions[i])
            lunik_region_unref(s->regions[i]);
        s->regions[i] = NULL;
    }
}

int bind_pci_begin(lunik_object *o, const struct lua_pci_ids *ids, lunik_error *err)
{
    struct lua_pci *s = lunik_state(o);
    lunik_pci_function *f = &s->function;
    int rc;

    lunik_pci_function_init(f, o, ids->vendor, ids->device, ids->revision, ids->class_code);
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_ID, ids->subsystem);
    f->initial[LUNIK_PCI_INTERRUPT_PIN] = ids->pin;
    rc = lunik_pci_dma_new(f, &s->dma, err);
    if (rc)
        bind_pci_remove(o);
    return rc;
}

/* The capability comes after those that the script adds. */
int bind_pci_add(lunik_object *o, lunik_error *err)
{
    struct lua_pci *s = lunik_state(o);
    int rc = bind_lua_type_of(o)->pci.function_reset
                 ? lunik_pci_function_level_reset_init(&s->function, err)
                 : 0;

    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    return rc ? lunik_fail_prefix(err, rc, "%s", lunik_object_type_name(o)) : 0;
}

void bind_pci_reset(lunik_object *o)
{
    struct lua_pci *s = lunik_state(o);

    lunik_pci_function_reset(&s->function);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Returns the device in the first argument; raises an error if it is no such device or gone. */
static struct lua_pci *check_device(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    const struct lua_type *t = bind_lua_type_of(o);

    if (!t || !t->is_pci)
        bind_fail(L, LUNIK_E_INVALID, "'%s' is no PCI device of a script", lunik_object_path(o));
    if (!((struct lua_pci *)lunik_state(o))->dma)
        bind_fail(L, LUNIK_E_GONE, "device '%s' is gone", lunik_object_path(o));
    return lunik_state(o);
}

/* Raises an error if the device is on its bus already: parts are added before that. */
static struct lua_pci *check_new(lua_State *L)
{
    struct lua_pci *s = check_device(L);

    if (s->function.bus)
        bind_fail(L, LUNIK_E_STATE, "device '%s' is on its bus already",
                  lunik_object_path(bind_object(L, 1)));
    return s;
}

static void keep(struct lua_pci *s, unsigned index, lunik_region *region)
{
    s->regions[index] = region;
    lunik_region_ref(region);
}

/* core.pci_bar(device, index, kind, region) */
int bind_lua_pci_bar(lua_State *L)
{
    static const char *const kinds[] = {"io", "mem32", "mem64", "mem32-prefetch", "mem64-prefetch",
                                        NULL};
    struct lua_pci *s = check_new(L);
    unsigned index = (unsigned)bind_u64(L, 2, "pci: bar: index");
    lunik_pci_bar_kind kind = (lunik_pci_bar_kind)bind_choice(L, 3, "pci: bar: kind", kinds);
    lunik_region *region = bind_region(L, 4);
    lunik_error err;

    bind_check(L, lunik_pci_bar_init(&s->function, index, kind, region, &err), &err);
    keep(s, index, region);
    return 0;
}

/* core.pci_rom(device, region) */
int bind_lua_pci_rom(lua_State *L)
{
    struct lua_pci *s = check_new(L);
    lunik_region *region = bind_region(L, 2);
    lunik_error err;

    bind_check(L, lunik_pci_rom_init(&s->function, region, &err), &err);
    keep(s, LUNIK_PCI_BARS, region);
    return 0;
}

/* core.pci_msi(device, vectors, masks) */
int bind_lua_pci_msi(lua_State *L)
{
    struct lua_pci *s = check_new(L);
    unsigned vectors = (unsigned)bind_u64(L, 2, "pci: msi");
    unsigned flags = LUNIK_PCI_MSI_64 | (lua_toboolean(L, 3) ? LUNIK_PCI_MSI_MASK : 0u);
    lunik_error err;

    bind_check(L, lunik_pci_msi_init(&s->function, vectors, flags, 0, &err), &err);
    return 0;
}

/* core.pci_msix(device, vectors, bar, table, pba) */
int bind_lua_pci_msix(lua_State *L)
{
    struct lua_pci *s = check_new(L);
    unsigned vectors = (unsigned)bind_u64(L, 2, "pci: msix: vectors");
    unsigned bar = (unsigned)bind_u64(L, 3, "pci: msix: bar");
    uint64_t table = bind_u64(L, 4, "pci: msix: table"), pba = bind_u64(L, 5, "pci: msix: pba");
    lunik_error err;

    bind_check(L, lunik_pci_msix_init(&s->function, vectors, bar, table, pba, 0, &err), &err);
    return 0;
}

/* core.pci_capability(device, id, bytes): the bytes behind the two of the list, read-only; ->
 * offset */
int bind_lua_pci_capability(lua_State *L)
{
    struct lua_pci *s = check_new(L);
    uint64_t id = bind_bits(L, 2, "pci: capability: id", 1);
    size_t size = 0;
    const char *bytes = luaL_checklstring(L, 3, &size);
    unsigned at = 0;
    lunik_error err;

    if (size > LUNIK_PCI_CONFIG_SIZE)
        size = LUNIK_PCI_CONFIG_SIZE;
    bind_check(
        L, lunik_pci_capability_add(&s->function, (uint8_t)id, 0, (unsigned)size + 2, &at, &err),
        &err);
    for (size_t i = 0; i < size; i++)
        s->function.initial[at + 2 + i] = (uint8_t)bytes[i];
    lua_pushinteger(L, at);
    return 1;
}

/* core.pci_intx(device, level) */
int bind_lua_pci_intx(lua_State *L)
{
    struct lua_pci *s = check_device(L);

    lunik_pci_intx_set(&s->function, lua_toboolean(L, 2));
    return 0;
}

/* core.pci_send(device, vector) */
int bind_lua_pci_send(lua_State *L)
{
    struct lua_pci *s = check_device(L);

    lunik_pci_vector_send(&s->function, (unsigned)bind_u64(L, 2, "send: vector"));
    return 0;
}

/* core.pci_vectors(device) */
int bind_lua_pci_vectors(lua_State *L)
{
    lua_pushinteger(L, lunik_pci_vectors(&check_device(L)->function));
    return 1;
}

/* Pushes nil and the code of an access that has failed. */
static int push_failure(lua_State *L, int rc)
{
    lua_pushnil(L);
    lua_pushstring(L, lunik_error_name(rc));
    return 2;
}

/* core.pci_read(device, address, size) -> bytes; nil, code */
int bind_lua_pci_read(lua_State *L)
{
    struct lua_pci *s = check_device(L);
    uint64_t address = bind_address(L, 2, "read: address");
    uint64_t size = bind_u64(L, 3, "read: size");
    luaL_Buffer buffer;
    int rc;

    if (size > DMA_MAX)
        bind_fail(L, LUNIK_E_INVALID, "read: size: %d bytes are too many (want at most %d)",
                  (int)size, DMA_MAX);
    rc = lunik_dma_read(s->dma, address, luaL_buffinitsize(L, &buffer, (size_t)size), (size_t)size);
    if (rc)
        return push_failure(L, rc);
    luaL_pushresultsize(&buffer, (size_t)size);
    return 1;
}

/* core.pci_write(device, address, bytes) -> true; nil, code */
int bind_lua_pci_write(lua_State *L)
{
    struct lua_pci *s = check_device(L);
    uint64_t address = bind_address(L, 2, "write: address");
    size_t size = 0;
    const char *bytes = luaL_checklstring(L, 3, &size);
    int rc = lunik_dma_write(s->dma, address, bytes, size);

    if (rc)
        return push_failure(L, rc);
    lua_pushboolean(L, true);
    return 1;
}
