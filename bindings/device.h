/* device.h: types defined by scripts, for the files that make them up. */
#ifndef BINDINGS_DEVICE_H
#define BINDINGS_DEVICE_H

#include "bindings.h"
#include "lunik_pci.h"

/* The configuration space of a type's devices. */
struct lua_pci_ids {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code;
    uint8_t revision, pin;
    bool function_reset; /* has the capability for it */
};

struct lua_type {
    lunik_type type;
    struct bindings *b;
    int hooks; /* registry reference of the table of functions */
    lunik_prop *props;
    size_t prop_count;
    bool is_pci;
    struct lua_pci_ids pci;
    lunik_state_table table;
    lunik_state_field *fields;
    char **timer_hooks; /* by field; NULL: no timer */
    size_t field_count;
    struct lua_type *next;
};

/* A timer in the state of a device. */
struct lua_timer {
    lunik_timer timer;
    size_t offset; /* in the state */
};

/* device.c: returns the type of an object that a script has defined; NULL: it has not. */
const struct lua_type *bind_lua_type_of(const lunik_object *o);
/* Calls a function of the type with the object. */
void bind_call_hook(lunik_object *o, const char *name);
/* Copy a string field of the table at an index; NULL if it is nil. Numbers are 0 then. */
char *bind_copy_field(lua_State *L, int table, const char *name);
uint64_t bind_number_field(lua_State *L, int table, const char *name);

/* device_state.c: takes the list of fields at the top of the stack: {{name=, bytes=|timer=}, ...}.
 */
void bind_state_from(lua_State *L, struct lua_type *t);
void bind_state_free(struct lua_type *t);
void bind_timers_init(lunik_object *o);
void bind_timers_cancel(lunik_object *o);

/* device_pci.c: adds the type that those with `pci` descend from; takes the table `pci` at the top
 * of the stack. */
void bind_pci_from(lua_State *L, lunik_runtime *rt, struct lua_type *t);
/* Prepares the function of a device; on failure undoes what was done. */
int bind_pci_begin(lunik_object *o, const struct lua_pci_ids *ids, lunik_error *err);
/* Puts the device on its bus. */
int bind_pci_add(lunik_object *o, lunik_error *err);
void bind_pci_remove(lunik_object *o);
void bind_pci_reset(lunik_object *o);

#endif
