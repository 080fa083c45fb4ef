/*
 * object.h: types, properties and objects, for the rest of the runtime.
 *
 * DESIGN. A type_entry is a registered lunik_type with its inheritance resolved: one flat list of
 * properties (a child's replaces its parent's of the same name), functions, flags. Objects are in
 * one list per machine, in order of creation; the list holds one reference to each. An object's
 * header and its device state are one allocation, freed after a grace period because a lockless
 * callback may still use it; freeing it needs nothing of the type, which may be gone by then.
 *
 * A reference only keeps the struct. An object that has uses can't be deleted: every link property
 * that names it is one, and lunik_object_use() makes others. A claim is an exclusive use.
 */
#ifndef OBJECT_OBJECT_H
#define OBJECT_OBJECT_H

#include "core/machine.h"
#include "core/names.h"
#include "core/rcu.h"
#include "core/suggest.h"

/* ---- type.c --------------------------------------------------------------------------------- */

struct type_entry {
    const lunik_type *type;
    const struct type_entry *parent;
    struct type_entry *next;
    struct type_entry *replaced; /* the former type of that name, which may still have objects */
    struct named by_name;
    const lunik_prop **props; /* the parent's first */
    size_t prop_count;
    size_t owned_count; /* properties that own memory: strings and lists */
    int (*realize)(lunik_object *o, lunik_error *err);
    void (*unrealize)(lunik_object *o);
    void (*reset)(lunik_object *o);
    void (*run_state)(lunik_object *o, bool running);
    int (*unplug_request)(lunik_object *o, lunik_error *err);
    void (*drain)(lunik_object *o, lunik_drain *d);
    void (*undrain)(lunik_object *o);
    const char *hotplug, *hotplug_wants;
};

/* Returns NULL, with a suggestion in err, if there is no such type. */
const struct type_entry *type_lookup(const lunik_runtime *rt, const char *name, lunik_error *err);
/* Whether t or an ancestor has that name or implements that interface. */
bool type_is(const struct type_entry *t, const char *name);
const void *type_iface(const struct type_entry *t, const char *name);
/* Returns the property of that name, '_' standing for '-' as well; NULL if there is none. */
const lunik_prop *type_prop(const struct type_entry *t, const char *name, size_t *index);

/* Whether the runtime allocates what the property's field points to. */
bool prop_owns_memory(const lunik_prop *p);

/* ---- object.c ------------------------------------------------------------------------------- */

enum object_state {
    OBJECT_CREATING, /* occupies its id, can't be found yet */
    OBJECT_ALIVE,
    OBJECT_LEAVING,  /* deleted if the transaction commits; can't be found any more */
    OBJECT_REMOVING, /* unrealize is running */
    OBJECT_DEAD,     /* only references keep the struct */
};

struct object_use {
    lunik_object *used, *user;
    LIST_ENTRY(object_use) of_used, of_user;
};

LIST_HEAD(use_list, object_use);

struct lunik_object {
    struct rcu_head rcu;
    _Atomic unsigned refs;
    enum object_state state;
    lunik_plug_state plug;
    lunik_machine *machine; /* referenced */
    const struct type_entry *type;
    const char *type_name;
    bool is_device;
    const char *id; /* "" when it has none; both are in the same piece of memory */
    const char *path;
    uint64_t serial; /* counts creations */
    lunik_object *prev, *next;
    struct named by_name;   /* the last component of its path */
    struct use_list users;  /* uses of this object */
    struct use_list usings; /* its uses of others */
    lunik_object *claimed_by;
    lunik_object *handler;           /* its hotplug handler, from pre_plug to unplug */
    bool plugged;                    /* the handler has plugged it */
    lunik_drain *drain;              /* NULL: its type has no drain function */
    struct region_list regions;      /* that it owns */
    bool announced;                  /* false until the transaction that made it commits */
    lunik_change change;             /* noted: a reference */
    void (*remove)(lunik_object *o); /* called when its deletion commits */
    lunik_value *list_items;         /* the list that lunik_object_get() returned last */
    size_t owned_count;
    size_t *owned; /* offsets in the state of pointers that are freed with the object */
};

#define OBJECT_STATE_OFFSET ((sizeof(struct lunik_object) + 63) / 64 * 64)

struct hotplug_entry {
    char *kind;
    lunik_object *handler;
    struct hotplug_entry *next;
};

struct object_table {
    lunik_object *first, *last;
    struct names by_name;
    uint64_t serial;
    unsigned unattached;  /* devices without an id made so far: number of the next */
    unsigned hotplugging; /* devices being added to a started machine */
    struct hotplug_entry *handlers;
};

/* The id, or the path of an object that has none. */
const char *object_name(const lunik_object *o);
/* Initializes the part of a lunik_step that names an object. */
#define STEP_ABOUT(o) .device = object_name(o), .driver = (o)->type_name
/* Puts a new object last in the list, which takes over a reference. */
void object_insert(struct object_table *t, lunik_object *o);
/* Takes o out of the list, if it is there, and drops the list's reference. */
void object_take_out(lunik_object *o);
/* Has its handler unplug it, then undoes realize. */
void object_unrealize(lunik_object *o);
/* Unrealizes and deletes o, which the caller has checked to be unused. */
void object_remove(lunik_object *o);
/* Deletes o, which the caller has checked to be unused, by calling remove: when the open
 * transaction commits, or now if none is open. On failure o stays as it is. */
int object_leave(lunik_object *o, void (*remove)(lunik_object *o), lunik_error *err);
/* Has commit or undo called with the open transaction; see lunik_transaction_note(). Does nothing
 * if o has noted a change already. */
void object_note(lunik_object *o, void (*commit)(lunik_change *c), void (*undo)(lunik_change *c));
/* Takes a noted change back, if there is one. */
void object_forget_note(lunik_object *o);
/* Returns the object of a change that is no longer noted; the caller drops the reference. */
lunik_object *object_noted(lunik_change *c);
/* Calls fn for the living objects, oldest (or youngest) first; it may add and remove some. */
void objects_each(lunik_machine *m, bool oldest_first, void (*fn)(lunik_object *o));
/* Returns the object with that id or path in any state but OBJECT_DEAD. */
lunik_object *object_lookup(lunik_machine *m, const char *id);

/* ---- object_drain.c ------------------------------------------------------------------------- */

/* Of an object whose type has a drain function. */
struct lunik_drain {
    lunik_object *object;
    TAILQ_ENTRY(lunik_drain) entry; /* in the machine's list while the object is alive */
    _Atomic int state;              /* enum drain_state */
    bool asked;                     /* drain was called later than undrain */
    bool held;                      /* by object_drain() */
    bool leaving;                   /* the device goes when it has finished */
    uint64_t until;                 /* it stays if it has not finished by then */
};

/* Makes o->drain if its type needs one. */
int object_drain_new(lunik_object *o, lunik_error *err);
/* Put o, which is alive, into the machine's list, and take it out before it goes. */
void object_drain_join(lunik_object *o);
void object_drain_part(lunik_object *o);
/* Asks o alone. Returns true when it has finished, or has no drain function. */
bool object_drain(lunik_object *o);
/* Ends object_drain(), if that was called. */
void object_undrain(lunik_object *o);
/* Marks o to go when it has finished. */
void object_drain_leave(lunik_object *o);
/* Takes that mark off an object that has finished or has had its time (*late), and returns it;
 * NULL: there is none. */
lunik_object *objects_next_leaving(lunik_machine *m, bool *late);
/* Fails with LUNIK_E_TIMEOUT: o has had its time. */
int object_fail_late(const lunik_object *o, lunik_error *err);

/* ---- object_uses.c -------------------------------------------------------------------------- */

/* Ends all uses of o and by o, which has died. */
void uses_forget(lunik_object *o);
/* Fails with LUNIK_E_BUSY and the user's name if o is in use. */
int object_check_unused(const lunik_object *o, lunik_error *err);

/* ---- plug.c --------------------------------------------------------------------------------- */

/* Queues an event about a device: its id (if it has one), its path, and extra fields. */
void device_emit(lunik_object *o, const char *event, const lunik_field *extra, size_t count);
/* Lets the devices go that the guest had been asked for. */
void plug_reset(lunik_machine *m);

/* ---- hotplug.c ------------------------------------------------------------------------------ */

/* Finds the handler that a new device needs, if any, and has it check the device and choose where
 * it goes. */
int hotplug_prepare(lunik_object *o, lunik_error *err);
/* Has the handler plug the device, which is realized. */
int hotplug_plug(lunik_object *o, lunik_error *err);
/* Undoes what was done of these two. */
void hotplug_unplug(lunik_object *o);
/* True if the removal of o has to be requested from the guest first. */
bool hotplug_must_ask(const lunik_object *o);
/* Asks. */
int hotplug_request(lunik_object *o, lunik_error *err);
void hotplug_forget_handler(lunik_machine *m, lunik_object *handler);

/* ---- property_convert.c --------------------------------------------------------------------- */

/* A checked value. A string is borrowed; a list is from prop_alloc() and the caller's to free. */
union converted {
    uint64_t number; /* SIZE, UINT, INT, BOOL, ENUM */
    const char *string;
    lunik_object *link;
    lunik_uint_list list;
};

/* Checks that a field from outside has a name and a whole value. */
int field_check(const char *type, const lunik_field *f, lunik_error *err);
/* Checks v and converts it for the property; changes nothing but *out. */
int prop_convert(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                 union converted *out, lunik_error *err);
/* Whether a UINT, SIZE or INT has limits of its own (for SIZE and UINT: an upper one). */
bool prop_limited(const lunik_prop *p);
/* Writes what the property accepts, for "(want ...)". */
void prop_want_text(const lunik_prop *p, char *buf, size_t size);
int prop_fail_memory(const lunik_object *o, const lunik_prop *p, lunik_error *err);

/* ---- property.c ----------------------------------------------------------------------------- */

/* Allocates a string or list, with room for what a deferred free needs; NULL if out of memory. */
void *prop_alloc(size_t size);
char *prop_copy_string(const char *text);
void prop_free(void *data);

/* Returns the address of the property's value. */
void *prop_field(const lunik_object *o, const lunik_prop *p);
/* Stores a value there; takes over the memory of strings and lists. Only links can fail. */
int prop_put(lunik_object *o, const lunik_prop *p, const union converted *c, lunik_error *err);

/* Gives every property of a new object its default, then the value in props ("id" is skipped);
 * fails on unknown, repeated and missing ones. */
int props_init(lunik_object *o, const lunik_field *props, size_t count, lunik_error *err);
/* Drops the links. The memory that properties own is freed with the object. */
void props_release(lunik_object *o);
/* Frees that memory, a grace period after the object died. */
void props_free(lunik_object *o);
/* Compares two names, '_' and '-' being equal. */
bool prop_name_equal(const char *a, const char *b);

/* ---- property_change.c ---------------------------------------------------------------------- */

/* A property's value before it is set in a transaction, restored if that is undone. */
struct prop_change;
int prop_change_new(struct prop_change **out, lunik_object *o, const lunik_prop *p,
                    lunik_error *err);
void prop_change_free(struct prop_change *c); /* c may be NULL */
/* Hands c to the transaction, after the property has been set. */
void prop_change_note(struct prop_change *c);

/* ---- what machine/ calls -------------------------------------------------------------------- */

int objects_init(lunik_machine *m, lunik_error *err);
void objects_fini(lunik_machine *m); /* unplugs and deletes everything, newest first */
void objects_reset(lunik_machine *m);
void objects_run_state(lunik_machine *m, bool running);

/* ---- object_drain.c, plug.c: for machine/ ---------------------------------------------------- */

/* Has all objects finish what is in flight and take no new work, until objects_undrain() has been
 * called as often. */
void objects_drain(lunik_machine *m);
void objects_undrain(lunik_machine *m);
/* Asks the objects whose turn has come. Returns true when all have finished. */
bool objects_drained(lunik_machine *m);
/* Emits an event "error" with that source for every object that has been asked and has not
 * reported. */
void objects_report_late(lunik_machine *m, const char *source);
/* Describes one of them, with how many there are: the machine can't be `what`. Returns
 * LUNIK_E_TIMEOUT. */
int objects_fail_late(const lunik_machine *m, const char *what, lunik_error *err);
/* Removes the devices that were to go and have finished; those that have had their time stay. */
void objects_let_go(lunik_machine *m);
/* When the next of them has had its time; UINT64_MAX: there are none. */
uint64_t objects_leaving_until(const lunik_machine *m);

/* type.c: the types of a runtime. */
int types_init(struct type_table **out, const lunik_type *const *types, lunik_error *err);
void types_fini(struct type_table *t);

#endif
