/* vcpu.c: vCPUs for Lua. */
#include <string.h>

#include "bindings.h"

static const char vcpu_class[] = "lunik.Vcpu";

#define DUMP_SIZE 8192

void bind_push_vcpu(lua_State *L, lunik_vcpu *v, lunik_machine *m)
{
    bind_push_part(L, vcpu_class, v, m);
}

static lunik_vcpu *vcpu(lua_State *L)
{
    return bind_check_open(L, 1, vcpu_class)->ptr;
}

/* vcpu:reg(name) -> integer */
static int vcpu_reg(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    uint64_t value;
    lunik_error err;

    bind_check(L, lunik_vcpu_get_reg(v, bind_string(L, 2, "reg: name"), &value, &err), &err);
    lua_pushinteger(L, (lua_Integer)value);
    return 1;
}

/* vcpu:set_reg(name, value) */
static int vcpu_set_reg(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    const char *name = bind_string(L, 2, "set_reg: name");
    uint64_t value = bind_bits(L, 3, "set_reg: value", 8);
    lunik_error err;

    bind_check(L, lunik_vcpu_set_reg(v, name, value, &err), &err);
    return 0;
}

enum { REGS_MOST = 128 };

/* Puts the names of a list, which stays on the stack, into names; returns how many. */
static size_t list_names(lua_State *L, const char **names)
{
    size_t count;

    bind_table(L, 2, "regs: names");
    count = lua_rawlen(L, 2);
    if (count > REGS_MOST)
        bind_fail(L, LUNIK_E_INVALID, "regs: names: %d are too many (want at most %d)", (int)count,
                  REGS_MOST);
    luaL_checkstack(L, REGS_MOST, NULL);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        names[i] = bind_string(L, -1, "regs: name");
    }
    return count;
}

/* vcpu:regs([names]) -> {name = value} */
static int vcpu_regs(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    const char *names[REGS_MOST];
    uint64_t values[REGS_MOST];
    size_t count = 0;
    lunik_error err;

    if (!lua_isnoneornil(L, 2))
        count = list_names(L, names);
    else
        for (const char *const *name = lunik_vcpu_reg_names(); *name; name++)
            names[count++] = *name;
    bind_check(L, lunik_vcpu_get_regs(v, names, count, values, &err), &err);
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        lua_pushinteger(L, (lua_Integer)values[i]);
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}

/* vcpu:fpu() -> the registers of FPU and SSE, 512 bytes */
static int vcpu_fpu(lua_State *L)
{
    uint8_t image[LUNIK_FPU_SIZE];
    lunik_error err;

    bind_check(L, lunik_vcpu_get_fpu(vcpu(L), image, &err), &err);
    lua_pushlstring(L, (const char *)image, sizeof(image));
    return 1;
}

/* vcpu:set_fpu(string) */
static int vcpu_set_fpu(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    size_t size;
    const char *image = bind_data(L, 2, "set_fpu: image", &size);
    lunik_error err;

    if (size != LUNIK_FPU_SIZE)
        bind_fail(L, LUNIK_E_INVALID, "set_fpu: image: %d bytes (want %d)", (int)size,
                  LUNIK_FPU_SIZE);
    bind_check(L, lunik_vcpu_set_fpu(v, (const uint8_t *)image, &err), &err);
    return 0;
}

/* vcpu:msr(index) -> integer */
static int vcpu_msr(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    uint32_t index = (uint32_t)bind_bits(L, 2, "msr: index", 4);
    uint64_t value;
    lunik_error err;

    bind_check(L, lunik_vcpu_get_msr(v, index, &value, &err), &err);
    lua_pushinteger(L, (lua_Integer)value);
    return 1;
}

/* vcpu:set_msr(index, value) */
static int vcpu_set_msr(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    uint32_t index = (uint32_t)bind_bits(L, 2, "set_msr: index", 4);
    uint64_t value = bind_bits(L, 3, "set_msr: value", 8);
    lunik_error err;

    bind_check(L, lunik_vcpu_set_msr(v, index, value, &err), &err);
    return 0;
}

/* vcpu:lapic() -> the registers of its local APIC, by their offset in its page */
static int vcpu_lapic(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    uint8_t page[LUNIK_LAPIC_SIZE];
    uint32_t value;
    lunik_error err;

    bind_check(L, lunik_vcpu_get_lapic(v, page, &err), &err);
    lua_createtable(L, 0, LUNIK_LAPIC_SIZE / 16);
    for (size_t at = 0; at < sizeof(page); at += 16) {
        memcpy(&value, page + at, sizeof(value));
        lua_pushinteger(L, value);
        lua_rawseti(L, -2, (lua_Integer)at);
    }
    return 1;
}

/* vcpu:inject_exception(vector, [error code]) */
static int vcpu_inject_exception(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    unsigned vector = (unsigned)bind_int(L, 2, "inject_exception: vector", 0, 31);
    bool has_error = !lua_isnoneornil(L, 3);
    uint32_t error = has_error ? (uint32_t)bind_bits(L, 3, "inject_exception: error", 4) : 0;
    lunik_error err;

    bind_check(L, lunik_vcpu_inject_exception(v, vector, has_error, error, &err), &err);
    return 0;
}

/* vcpu:inject_interrupt(vector) */
static int vcpu_inject_interrupt(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    unsigned vector = (unsigned)bind_int(L, 2, "inject_interrupt: vector", 0, 255);
    lunik_error err;

    bind_check(L, lunik_vcpu_inject_interrupt(v, vector, &err), &err);
    return 0;
}

static int vcpu_nmi(lua_State *L)
{
    lunik_error err;

    bind_check(L, lunik_vcpu_inject_nmi(vcpu(L), &err), &err);
    return 0;
}

static int vcpu_dump(lua_State *L)
{
    lunik_vcpu *v = vcpu(L);
    luaL_Buffer buffer;
    char *text = luaL_buffinitsize(L, &buffer, DUMP_SIZE);

    luaL_pushresultsize(&buffer, lunik_vcpu_dump(v, text, DUMP_SIZE));
    return 1;
}

/* Reads the breakpoint at the top of the stack: an address, or {address=, kind=, size=}. */
static lunik_breakpoint to_breakpoint(lua_State *L)
{
    static const char *const options[] = {"address", "kind", "size", NULL};
    static const char *const kinds[] = {"execute", "write", "access", NULL};
    lunik_breakpoint b = {.size = 1};
    int table = lua_gettop(L);

    if (!lua_istable(L, table)) {
        b.address = bind_address(L, table, "debug: breakpoints");
        return b;
    }
    bind_options(L, table, "debug: breakpoints", options);
    lua_getfield(L, table, "address");
    b.address = bind_address(L, -1, "debug: breakpoints: address");
    lua_getfield(L, table, "kind");
    if (!lua_isnil(L, -1))
        b.kind = (lunik_break_kind)bind_choice(L, -1, "debug: breakpoints: kind", kinds);
    lua_getfield(L, table, "size");
    if (!lua_isnil(L, -1))
        b.size = (uint8_t)bind_int(L, -1, "debug: breakpoints: size", 1, 8);
    lua_settop(L, table);
    return b;
}

static size_t to_breakpoints(lua_State *L, lunik_breakpoint *list, size_t most)
{
    size_t count;

    bind_table(L, -1, "debug: breakpoints");
    count = lua_rawlen(L, -1);
    if (count > most)
        bind_fail(L, LUNIK_E_INVALID, "debug: breakpoints: %d are too many (want at most %d)",
                  (int)count, (int)most);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        list[i] = to_breakpoint(L);
        lua_pop(L, 1);
    }
    return count;
}

/* Reads a field of the options at index 2, a flag. */
static unsigned debug_flag(lua_State *L, const char *name, const char *what, unsigned flag)
{
    bool on;

    lua_getfield(L, 2, name);
    on = bind_bool(L, -1, what);
    lua_pop(L, 1);
    return on ? flag : 0;
}

/* vcpu:debug{step=, breakpoints=, software=, interrupts=}; without an argument: turns all off */
static int vcpu_debug(lua_State *L)
{
    static const char *const options[] = {"step", "breakpoints", "software", "interrupts", NULL};
    lunik_vcpu *v = vcpu(L);
    lunik_breakpoint list[4];
    size_t count = 0;
    unsigned flags = 0;
    lunik_error err;

    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        bind_options(L, 2, "debug", options);
        flags = debug_flag(L, "step", "debug: step", LUNIK_DEBUG_STEP);
        flags |= debug_flag(L, "software", "debug: software", LUNIK_DEBUG_SOFTWARE);
        lua_getfield(L, 2, "interrupts");
        if (!lua_isnil(L, -1) && !bind_bool(L, -1, "debug: interrupts"))
            flags |= LUNIK_DEBUG_NO_INTERRUPTS;
        lua_getfield(L, 2, "breakpoints");
        if (!lua_isnil(L, -1))
            count = to_breakpoints(L, list, sizeof(list) / sizeof(list[0]));
        flags |= count ? LUNIK_DEBUG_BREAKPOINTS : 0;
    }
    bind_check(L, lunik_vcpu_set_breakpoints(v, flags, list, count, &err), &err);
    return 0;
}

static int vcpu_get_index(lua_State *L)
{
    lua_pushinteger(L, lunik_vcpu_index(vcpu(L)));
    return 1;
}

static int vcpu_get_thread_id(lua_State *L)
{
    lua_pushinteger(L, lunik_vcpu_tid(vcpu(L)));
    return 1;
}

static int vcpu_get_stats(lua_State *L)
{
    lunik_vcpu_stats stats;

    lunik_vcpu_get_stats(vcpu(L), &stats);
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, (lua_Integer)stats.exits);
    lua_setfield(L, -2, "exits");
    lua_pushinteger(L, (lua_Integer)stats.io);
    lua_setfield(L, -2, "io");
    lua_pushinteger(L, (lua_Integer)stats.mmio);
    lua_setfield(L, -2, "mmio");
    lua_pushinteger(L, (lua_Integer)stats.interrupted);
    lua_setfield(L, -2, "interrupted");
    lua_pushinteger(L, (lua_Integer)stats.dirtied);
    lua_setfield(L, -2, "dirtied");
    lua_pushinteger(L, (lua_Integer)stats.other);
    lua_setfield(L, -2, "other");
    return 1;
}

static int vcpu_tostring(lua_State *L)
{
    struct box *box = bind_check_box(L, 1, vcpu_class);

    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        lua_pushfstring(L, "vCPU of closed machine '%s'", lunik_machine_name(box->m));
    else
        lua_pushfstring(L, "vCPU %d of machine '%s'", (int)lunik_vcpu_index(box->ptr),
                        lunik_machine_name(box->m));
    return 1;
}

void bind_vcpu_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"reg", vcpu_reg},
        {"set_reg", vcpu_set_reg},
        {"regs", vcpu_regs},
        {"fpu", vcpu_fpu},
        {"set_fpu", vcpu_set_fpu},
        {"msr", vcpu_msr},
        {"lapic", vcpu_lapic},
        {"set_msr", vcpu_set_msr},
        {"inject_exception", vcpu_inject_exception},
        {"inject_interrupt", vcpu_inject_interrupt},
        {"nmi", vcpu_nmi},
        {"dump", vcpu_dump},
        {"debug", vcpu_debug},
        {0},
    };
    static const luaL_Reg getters[] = {
        {"index", vcpu_get_index},
        {"thread_id", vcpu_get_thread_id},
        {"stats", vcpu_get_stats},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", bind_part_gc},
        {"__tostring", vcpu_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = vcpu_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
