/* machine_guest.c: the guest's side of a machine: ports, interrupt lines, memory map, booting and
 * ACPI tables. */
#include <stdlib.h>

#include "bindings.h"

/* ---- ports ---------------------------------------------------------------------------------- */

/* Returns the value read. If no device answers, that is all ones, with "access" as second result.
 */
static int port_in(lua_State *L, unsigned size)
{
    lunik_machine *m = bind_machine(L, 1);
    uint64_t value = 0, port = bind_limited(L, 2, "in: port", 0xffff);
    int rc = lunik_space_load(lunik_machine_io(m), port, size, &value);

    lua_pushinteger(L, (lua_Integer)value);
    if (!rc)
        return 1;
    lua_pushstring(L, lunik_error_name(rc));
    return 2;
}

static int port_out(lua_State *L, unsigned size)
{
    lunik_machine *m = bind_machine(L, 1);
    uint64_t port = bind_limited(L, 2, "out: port", 0xffff);
    uint64_t value = bind_bits(L, 3, "out: value", size);
    int rc = lunik_space_store(lunik_machine_io(m), port, size, value);

    if (!rc)
        return 0;
    lua_pushstring(L, lunik_error_name(rc));
    return 1;
}

static int machine_inb(lua_State *L)
{
    return port_in(L, 1);
}

static int machine_inw(lua_State *L)
{
    return port_in(L, 2);
}

static int machine_inl(lua_State *L)
{
    return port_in(L, 4);
}

static int machine_outb(lua_State *L)
{
    return port_out(L, 1);
}

static int machine_outw(lua_State *L)
{
    return port_out(L, 2);
}

static int machine_outl(lua_State *L)
{
    return port_out(L, 4);
}

/* ---- interrupt lines ------------------------------------------------------------------------ */

static unsigned gsi_arg(lua_State *L, const char *what)
{
    return (unsigned)bind_int(L, 2, what, 0, LUNIK_GSI_COUNT - 1);
}

static int machine_irq_level(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    lua_pushboolean(L, lunik_gsi_level(m, gsi_arg(L, "irq_level: gsi")));
    return 1;
}

static int machine_irq_count(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);

    lua_pushinteger(L, (lua_Integer)lunik_gsi_edges(m, gsi_arg(L, "irq_count: gsi")));
    return 1;
}

/* m:acknowledge() -> vector; nil: INTR is low */
static int machine_acknowledge(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    uint8_t vector;
    lunik_error err;

    if (!lunik_intr(m)) {
        lua_pushnil(L);
        return 1;
    }
    bind_check(L, lunik_acknowledge(m, &vector, &err), &err);
    lua_pushinteger(L, vector);
    return 1;
}

static void set_integer(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

/* core.kvm_irqchip(m) -> the registers of the controllers in KVM, named as the properties of
 * isa-i8259 and ioapic; redirection is a list */
int bind_lua_kvm_irqchip(lua_State *L)
{
    lunik_kvm_irqchip s;
    lunik_error err;

    bind_check(L, lunik_kvm_irqchip_get(bind_machine(L, 1), &s, &err), &err);
    lua_newtable(L);
    set_integer(L, "irr", s.irr);
    set_integer(L, "imr", s.imr);
    set_integer(L, "isr", s.isr);
    set_integer(L, "elcr", s.elcr);
    set_integer(L, "base", s.base);
    set_integer(L, "first", s.first);
    set_integer(L, "read_isr", s.read_isr);
    set_integer(L, "nested", s.nested);
    set_integer(L, "apic_id", s.apic_id);
    set_integer(L, "select", s.select);
    set_integer(L, "lines", s.lines);
    lua_createtable(L, LUNIK_GSI_COUNT, 0);
    for (int i = 0; i < LUNIK_GSI_COUNT; i++) {
        lua_pushinteger(L, (lua_Integer)s.redirection[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "redirection");
    return 1;
}

/* ---- memory map ----------------------------------------------------------------------------- */

static const char *const fwmap_names[] = {"ram", "reserved", "acpi", "hotplug", NULL};
static const lunik_fwmap_type fwmap_types[] = {LUNIK_FWMAP_RAM, LUNIK_FWMAP_RESERVED,
                                               LUNIK_FWMAP_ACPI, LUNIK_FWMAP_HOTPLUG};

/* m:fwmap_add{base=, size=, type=, node=} */
static int machine_fwmap_add(lua_State *L)
{
    static const char *const options[] = {"base", "size", "type", "node", NULL};
    lunik_machine *m = bind_machine(L, 1);
    lunik_fwmap_entry entry = {0};
    lunik_error err;
    int index;

    bind_options(L, 2, "fwmap_add", options);
    entry.base = bind_address(L, bind_field(L, 2, "base"), "fwmap_add: base");
    entry.size = bind_size(L, bind_field(L, 2, "size"), "fwmap_add: size");
    index = bind_field(L, 2, "type");
    entry.type = lua_isnil(L, index)
                     ? LUNIK_FWMAP_RAM
                     : fwmap_types[bind_choice(L, index, "fwmap_add: type", fwmap_names)];
    index = bind_field(L, 2, "node");
    entry.node = lua_isnil(L, index) ? 0 : (unsigned)bind_int(L, index, "fwmap_add: node", 0, 255);
    bind_check(L, lunik_fwmap_add(m, &entry, &err), &err);
    return 0;
}

/* m:fwmap() -> {{base=, size=, type=, node=}, ...} */
static int machine_fwmap(lua_State *L)
{
    size_t count;
    const lunik_fwmap_entry *entries = lunik_fwmap(bind_machine(L, 1), &count);

    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        int type = 0;

        while (fwmap_names[type] && fwmap_types[type] != entries[i].type)
            type++;
        lua_createtable(L, 0, 4);
        lua_pushinteger(L, (lua_Integer)entries[i].base);
        lua_setfield(L, -2, "base");
        lua_pushinteger(L, (lua_Integer)entries[i].size);
        lua_setfield(L, -2, "size");
        lua_pushstring(L, fwmap_names[type]);
        lua_setfield(L, -2, "type");
        lua_pushinteger(L, entries[i].node);
        lua_setfield(L, -2, "node");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* m:rom_add(name, address, data) */
static int machine_rom_add(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    const char *name = bind_string(L, 2, "rom_add: name");
    uint64_t address = bind_address(L, 3, "rom_add: address");
    size_t size;
    const char *data = bind_data(L, 4, "rom_add: data", &size);
    lunik_error err;

    bind_check(L, lunik_rom_add(m, name, address, data, size, &err), &err);
    return 0;
}

/* ---- booting -------------------------------------------------------------------------------- */

/* m:boot_kernel{kernel=, initrd=, cmdline=, modules=, rsdp=} */
static int machine_boot_kernel(lua_State *L)
{
    static const char *const options[] = {"kernel", "initrd", "cmdline", "modules", "rsdp", NULL};
    lunik_machine *m = bind_machine(L, 1);
    lunik_boot_config config = {0};
    lunik_error err;
    int index;

    bind_options(L, 2, "boot_kernel", options);
    config.kernel = bind_string(L, bind_field(L, 2, "kernel"), "boot_kernel: kernel");
    config.initrd = bind_opt_string(L, bind_field(L, 2, "initrd"), "boot_kernel: initrd", NULL);
    config.cmdline = bind_opt_string(L, bind_field(L, 2, "cmdline"), "boot_kernel: cmdline", NULL);
    index = bind_field(L, 2, "modules");
    config.modules = lua_isnil(L, index) ? NULL : bind_strings(L, index, "boot_kernel: modules");
    index = bind_field(L, 2, "rsdp");
    config.rsdp = lua_isnil(L, index) ? 0 : bind_address(L, index, "boot_kernel: rsdp");
    bind_check(L, lunik_boot_kernel(m, &config, &err), &err);
    return 0;
}

static int machine_boot_firmware(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    lunik_error err;

    bind_check(L, lunik_boot_firmware(m, bind_string(L, 2, "boot_firmware: path"), &err), &err);
    return 0;
}

/* m:acpi_install() -> guest address of the RSDP */
static int machine_acpi_install(lua_State *L)
{
    uint64_t rsdp;
    lunik_error err;

    bind_check(L, lunik_acpi_install(bind_machine(L, 1), &rsdp, &err), &err);
    lua_pushinteger(L, (lua_Integer)rsdp);
    return 1;
}

/* m:acpi_offer() */
static int machine_acpi_offer(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_acpi_offer(bind_machine(L, 1), &err), &err);
    return 0;
}

/* m:acpi_table(signature) -> string or nil */
static int machine_acpi_table(lua_State *L)
{
    lunik_machine *m = bind_machine(L, 1);
    size_t size;
    const void *table = lunik_acpi_table(m, bind_string(L, 2, "acpi_table: signature"), &size);

    if (!table)
        return 0;
    lua_pushlstring(L, table, size);
    return 1;
}

/* Lua, protected: the text at 1 as a string. */
static int text_body(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* m:mtree{flat=, owner=, disabled=} -> the memory map as text */
static int machine_mtree(lua_State *L)
{
    static const char *const options[] = {"flat", "owner", "disabled", NULL};
    lunik_machine *m = bind_machine(L, 1);
    unsigned flags = 0;
    char *text;
    int rc;

    if (!lua_isnoneornil(L, 2)) {
        bind_options(L, 2, "mtree", options);
        flags |= bind_bool(L, bind_field(L, 2, "flat"), "mtree: flat") ? LUNIK_MTREE_FLAT : 0;
        flags |= bind_bool(L, bind_field(L, 2, "owner"), "mtree: owner") ? LUNIK_MTREE_OWNER : 0;
        flags |= bind_bool(L, bind_field(L, 2, "disabled"), "mtree: disabled")
                     ? LUNIK_MTREE_DISABLED
                     : 0;
    }
    lunik_mtree(m, flags, &text);
    if (!text)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "mtree: out of memory");
    lua_pushcfunction(L, text_body);
    lua_pushlightuserdata(L, text);
    rc = lua_pcall(L, 1, 1, 0);
    free(text);
    return rc == LUA_OK ? 1 : lua_error(L);
}

const luaL_Reg bind_machine_guest_methods[] = {
    {"inb", machine_inb},
    {"inw", machine_inw},
    {"inl", machine_inl},
    {"outb", machine_outb},
    {"outw", machine_outw},
    {"outl", machine_outl},
    {"irq", bind_lua_irq_new},
    {"irq_level", machine_irq_level},
    {"irq_count", machine_irq_count},
    {"acknowledge", machine_acknowledge},
    {"timer", bind_lua_timer_new},
    {"region", bind_lua_region_new},
    {"listen", bind_lua_listen},
    {"mtree", machine_mtree},
    {"dirty", bind_lua_dirty_new},
    {"fwmap_add", machine_fwmap_add},
    {"fwmap", machine_fwmap},
    {"rom_add", machine_rom_add},
    {"boot_kernel", machine_boot_kernel},
    {"boot_firmware", machine_boot_firmware},
    {"acpi_install", machine_acpi_install},
    {"acpi_offer", machine_acpi_offer},
    {"acpi_table", machine_acpi_table},
    {0},
};
