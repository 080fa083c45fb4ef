/*
 * device_state.c: what is saved of devices that scripts define: numbers, bytes and timers in the
 * state struct, after the properties. Lua reads and writes them by name: dev.state.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

enum { NUMBER_SIZE = 8, BYTES_MAX = 1 << 24 };

/* ---- definition ----------------------------------------------------------------------------- */

void bind_state_free(struct lua_type *t)
{
    for (size_t i = 0; i < t->field_count; i++) {
        free((char *)t->fields[i].name);
        free(t->timer_hooks[i]);
    }
    free(t->fields);
    free(t->timer_hooks);
}

static void loaded(void *state)
{
    bind_call_hook(lunik_state_object(state), "loaded");
}

/* Takes the description of a field, {name=, bytes=, timer=}, at an index. */
static void field_from(lua_State *L, int index, struct lua_type *t, size_t i)
{
    lunik_state_field *field = &t->fields[i];
    size_t bytes, size = NUMBER_SIZE;

    field->name = bind_copy_field(L, index, "name");
    bytes = (size_t)bind_number_field(L, index, "bytes");
    t->timer_hooks[i] = bind_copy_field(L, index, "timer");
    field->offset = t->type.size;
    field->count = 1;
    if (t->timer_hooks[i]) {
        field->kind = LUNIK_STATE_KIND_TIMER;
        field->stride = sizeof(lunik_timer);
        size = sizeof(struct lua_timer);
    } else if (bytes) {
        field->kind = LUNIK_STATE_KIND_U8;
        field->stride = 1;
        field->count = bytes;
        size = bytes;
    } else {
        field->kind = LUNIK_STATE_KIND_U64;
        field->stride = NUMBER_SIZE;
    }
    t->type.size += (size + 7) / 8 * 8;
}

void bind_state_from(lua_State *L, struct lua_type *t)
{
    int list = lua_gettop(L);
    size_t count = lua_rawlen(L, list);

    t->fields = calloc(count + 1, sizeof(*t->fields));
    t->timer_hooks = calloc(count + 1, sizeof(*t->timer_hooks));
    if (!t->fields || !t->timer_hooks)
        bind_fail(L, LUNIK_E_NO_MEMORY, "device: out of memory");
    while (t->field_count < count) {
        lua_rawgeti(L, list, (lua_Integer)t->field_count + 1);
        field_from(L, lua_gettop(L), t, t->field_count++);
        lua_pop(L, 1);
    }
    t->table = (lunik_state_table){
        .name = t->type.name,
        .version = 1,
        .size = t->type.size,
        .fields = t->fields,
        .loaded = loaded,
    };
    t->type.state = &t->table;
}

/* ---- timers --------------------------------------------------------------------------------- */

static void fired(lunik_timer *timer)
{
    const struct lua_timer *lt = lunik_container_of(timer, struct lua_timer, timer);
    lunik_object *o = lunik_state_object((char *)timer - lt->offset);
    const struct lua_type *t = bind_lua_type_of(o);

    for (size_t i = 0; i < t->field_count; i++)
        if (t->fields[i].offset == lt->offset)
            bind_call_hook(o, t->timer_hooks[i]);
}

void bind_timers_init(lunik_object *o)
{
    const struct lua_type *t = bind_lua_type_of(o);

    for (size_t i = 0; i < t->field_count; i++) {
        struct lua_timer *lt = (struct lua_timer *)((char *)lunik_state(o) + t->fields[i].offset);

        if (!t->timer_hooks[i])
            continue;
        lunik_timer_init(&lt->timer, lunik_object_machine(o), fired);
        lt->offset = t->fields[i].offset;
    }
}

void bind_timers_cancel(lunik_object *o)
{
    const struct lua_type *t = bind_lua_type_of(o);

    for (size_t i = 0; i < t->field_count; i++)
        if (t->timer_hooks[i])
            lunik_timer_cancel((lunik_timer *)((char *)lunik_state(o) + t->fields[i].offset));
}

/* ---- access --------------------------------------------------------------------------------- */

/* Returns the field that the arguments, a device and a name, are about; raises if there is none. */
static const lunik_state_field *check_field(lua_State *L, void **place)
{
    lunik_object *o = bind_object(L, 1);
    const struct lua_type *t = bind_lua_type_of(o);
    const char *name = bind_string(L, 2, "state: name");

    for (size_t i = 0; t && i < t->field_count; i++)
        if (!strcmp(t->fields[i].name, name)) {
            *place = (char *)lunik_state(o) + t->fields[i].offset;
            return &t->fields[i];
        }
    bind_fail(L, LUNIK_E_NOT_FOUND, "%s: state: there is no field '%s'", lunik_object_type_name(o),
              name);
    return NULL;
}

/* core.state_get(device, name): a number, a string, or when a timer fires (nil: never) */
int bind_lua_state_get(lua_State *L)
{
    void *place = NULL;
    const lunik_state_field *field = check_field(L, &place);

    switch (field->kind) {
    case LUNIK_STATE_KIND_U8:
        lua_pushlstring(L, place, field->count);
        break;
    case LUNIK_STATE_KIND_TIMER:
        if (((lunik_timer *)place)->deadline == UINT64_MAX)
            lua_pushnil(L);
        else
            lua_pushinteger(L, (lua_Integer)((lunik_timer *)place)->deadline);
        break;
    default:
        lua_pushinteger(L, (lua_Integer) * (uint64_t *)place);
    }
    return 1;
}

/* core.state_set(device, name, value) */
int bind_lua_state_set(lua_State *L)
{
    void *place = NULL;
    const lunik_state_field *field = check_field(L, &place);
    size_t size = 0;
    const char *bytes;

    switch (field->kind) {
    case LUNIK_STATE_KIND_U8:
        bytes = luaL_checklstring(L, 3, &size);
        if (size != field->count)
            bind_fail(L, LUNIK_E_INVALID, "state: %s: %d bytes (want %d)", field->name, (int)size,
                      (int)field->count);
        memcpy(place, bytes, size);
        break;
    case LUNIK_STATE_KIND_TIMER:
        lunik_timer_set(place, lua_isnil(L, 3) ? UINT64_MAX : bind_u64(L, 3, field->name));
        break;
    default:
        *(uint64_t *)place = bind_bits(L, 3, field->name, 8);
    }
    return 0;
}
