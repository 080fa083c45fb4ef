/* test_object.c: types, the life of objects and devices, users, plug states, hotplug handlers. */
#include "object/object.h"
#include "check.h"

/* ---- types that write down what happens to them --------------------------------------------- */

static char journal[512];

static void note(lunik_object *o, const char *what)
{
    size_t used = strlen(journal);
    snprintf(journal + used, sizeof(journal) - used, "%s:%s ", lunik_object_id(o), what);
}

struct part {
    bool fail, refuse;
    lunik_object *uses;
    unsigned requests;
};

static int part_realize(lunik_object *o, lunik_error *err)
{
    struct part *p = lunik_state(o);

    note(o, lunik_machine_hotplugging(lunik_object_machine(o)) ? "hotplug" : "realize");
    return p->fail ? lunik_fail(err, LUNIK_E_IO, "part: broken") : 0;
}

static void part_unrealize(lunik_object *o)
{
    note(o, "unrealize");
}

static void part_reset(lunik_object *o)
{
    note(o, "reset");
}

static void part_run_state(lunik_object *o, bool running)
{
    note(o, running ? "run" : "stop");
}

static int shy_unplug_request(lunik_object *o, lunik_error *err)
{
    struct part *p = lunik_state(o);

    p->requests++;
    return p->refuse ? lunik_fail(err, LUNIK_E_BUSY, "shy: not now") : 0;
}

static const lunik_prop part_props[] = {
    {.name = "fail", .kind = LUNIK_PROP_BOOL, .offset = offsetof(struct part, fail)},
    {.name = "refuse",
     .kind = LUNIK_PROP_BOOL,
     .offset = offsetof(struct part, refuse),
     .flags = LUNIK_PROP_LIVE},
    {.name = "uses",
     .kind = LUNIK_PROP_LINK,
     .offset = offsetof(struct part, uses),
     .link = "blessing"},
    {0},
};

/* ---- a handler, and a device that needs one ------------------------------------------------- */

static const char *broken; /* the handler's function that fails */

static int step(lunik_object *handler, lunik_object *device, const char *name, lunik_error *e)
{
    check_true("a handler in use stays", lunik_object_is(handler, "socket"));
    note(device, name);
    return broken && !strcmp(broken, name) ? lunik_fail(e, LUNIK_E_BUSY, "socket: %s fails", name)
                                           : 0;
}

static int socket_pre_plug(lunik_object *handler, lunik_object *device, lunik_error *e)
{
    return step(handler, device, "pre_plug", e);
}

static int socket_plug(lunik_object *handler, lunik_object *device, lunik_error *e)
{
    return step(handler, device, "plug", e);
}

static int socket_unplug_request(lunik_object *handler, lunik_object *device, lunik_error *e)
{
    return step(handler, device, "request", e);
}

static void socket_unplug(lunik_object *handler, lunik_object *device)
{
    step(handler, device, "unplug", NULL);
}

static const lunik_hotplug_ops socket_ops = {.pre_plug = socket_pre_plug,
                                             .plug = socket_plug,
                                             .unplug_request = socket_unplug_request,
                                             .unplug = socket_unplug};
static const lunik_iface socket_ifaces[] = {LUNIK_IFACE(hotplug, &socket_ops), {0}};

static const int blessing = 7;
static const lunik_iface part_ifaces[] = {{"blessing", &blessing}, {0}};

static const lunik_type base_type = {.name = "base",
                                     .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_ABSTRACT,
                                     .size = sizeof(struct part),
                                     .props = part_props,
                                     .ifaces = part_ifaces,
                                     .realize = part_realize,
                                     .unrealize = part_unrealize,
                                     .reset = part_reset,
                                     .run_state = part_run_state};
static const lunik_type fixed_type = {
    .name = "fixed", .parent = "base", .flags = LUNIK_TYPE_DEVICE, .size = sizeof(struct part)};
static const lunik_type card_type = {.name = "card",
                                     .parent = "base",
                                     .flags =
                                         LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
                                     .size = sizeof(struct part)};
static const lunik_type shy_type = {.name = "shy",
                                    .parent = "card",
                                    .flags =
                                        LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
                                    .size = sizeof(struct part),
                                    .unplug_request = shy_unplug_request};
static const lunik_type socket_type = {.name = "socket",
                                       .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG |
                                                LUNIK_TYPE_UNPLUG,
                                       .ifaces = socket_ifaces};
static const lunik_type chip_type = {.name = "chip",
                                     .parent = "card",
                                     .flags =
                                         LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
                                     .size = sizeof(struct part),
                                     .hotplug = "chip",
                                     .hotplug_wants = "a socket"};
static const lunik_type spare_type = {.name = "spare",
                                      .parent = "chip",
                                      .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG |
                                               LUNIK_TYPE_UNPLUG,
                                      .size = sizeof(struct part)};
static const lunik_type stuff_type = {
    .name = "stuff", .size = sizeof(struct part), .props = part_props, .ifaces = part_ifaces};
static const lunik_type *const types[] = {&base_type,   &fixed_type, &card_type,
                                          &socket_type, &chip_type,  &spare_type,
                                          &shy_type,    &stuff_type, NULL};

/* ---- helpers -------------------------------------------------------------------------------- */

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static char events[1024];

static void on_event(void *opaque, const lunik_event *event)
{
    size_t used = strlen(events);
    const char *device = "?";

    if (event->count && event->fields[0].value.kind == LUNIK_STRING)
        device = event->fields[0].value.string;
    snprintf(events + used, sizeof(events) - used, "%s(%s) ", event->name, device);
}

static lunik_event_sub listening = {.fn = on_event};

static void expect_events(const char *name, const char *want)
{
    lunik_deliver_events(rt);
    check_string(name, events, want);
    events[0] = '\0';
}

static void expect_journal(const char *name, const char *want)
{
    check_string(name, journal, want);
    journal[0] = '\0';
}

static lunik_object *add(const char *type, const char *id, const char *uses)
{
    lunik_field fields[2];
    lunik_object *o = NULL;
    size_t n = 0;

    if (id)
        fields[n++] = LUNIK_FIELD_STRING("id", id);
    if (uses)
        fields[n++] = LUNIK_FIELD_STRING("uses", uses);
    err = (lunik_error){0};
    if (!strcmp(type, "stuff"))
        lunik_object_add(m, type, fields, n, &o, &err);
    else
        lunik_device_add(m, type, fields, n, &o, &err);
    return o;
}

static void refuses(const char *type, const char *id, int code, const char *message)
{
    check_true(message, !add(type, id, NULL) && err.code == code);
    check_string("  and says so", err.message, message);
}

static void clear(void)
{
    lunik_deliver_events(rt);
    events[0] = journal[0] = '\0';
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_bad_types(void)
{
    static const lunik_prop twice[] = {
        {.name = "a", .kind = LUNIK_PROP_BOOL}, {.name = "a", .kind = LUNIK_PROP_BOOL}, {0}};
    static const lunik_prop outside[] = {{.name = "a", .kind = LUNIK_PROP_UINT, .offset = 4}, {0}};
    static const lunik_type taken = {.name = "card"};
    static const lunik_type orphan = {.name = "orphan", .parent = "nobody"};
    static const lunik_type small = {.name = "small", .parent = "base", .flags = LUNIK_TYPE_DEVICE};
    static const lunik_type same = {.name = "same", .size = 1, .props = twice};
    static const lunik_type wide = {.name = "wide", .size = 8, .props = outside};

    check_int("a name that is taken", lunik_type_add(rt, &taken, &err), LUNIK_E_EXISTS);
    check_int("an unknown parent", lunik_type_add(rt, &orphan, &err), LUNIK_E_NOT_FOUND);
    check_int("a state smaller than the parent's", lunik_type_add(rt, &small, &err),
              LUNIK_E_INVALID);
    check_int("a property twice", lunik_type_add(rt, &same, &err), LUNIK_E_EXISTS);
    check_int("a property outside the state", lunik_type_add(rt, &wide, &err), LUNIK_E_INVALID);
    check_true("none of them is known", !lunik_type_find(rt, "orphan"));
    check_string("properties are inherited", lunik_type_prop(rt, &shy_type, 2)->name, "uses");
    check_true("and end", !lunik_type_prop(rt, &shy_type, 3));
}

static int anew_realize(lunik_object *o, lunik_error *e)
{
    note(o, "anew");
    return 0;
}

static unsigned count_types(const char *name)
{
    unsigned count = 0;

    for (const lunik_type *t = NULL; (t = lunik_type_next(rt, t));)
        count += !name || !strcmp(t->name, name);
    return count;
}

/* A type that takes another's place leaves alone what is of that one. */
static void test_replaced(void)
{
    static const lunik_type former = {.name = "changing",
                                      .parent = "base",
                                      .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_UNPLUG,
                                      .size = sizeof(struct part)};
    static const lunik_type child = {.name = "child",
                                     .parent = "changing",
                                     .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_UNPLUG,
                                     .size = sizeof(struct part)};
    static const lunik_type wrong = {.name = "changing", .parent = "nobody"};
    static const lunik_type anew = {.name = "changing",
                                    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_UNPLUG,
                                    .realize = anew_realize};
    unsigned before = count_types(NULL);
    lunik_object *o, *p;

    check_int("replaced: a new name", lunik_type_replace(rt, &former, &err), 0);
    check_int("replaced: a child", lunik_type_add(rt, &child, &err), 0);
    o = add("changing", "old", NULL);
    check_int("replaced: by a wrong one", lunik_type_replace(rt, &wrong, &err), LUNIK_E_NOT_FOUND);
    check_true("  changes nothing", lunik_type_find(rt, "changing") == &former);
    check_int("replaced", lunik_type_replace(rt, &anew, &err), 0);
    check_true("  found by its name", lunik_type_find(rt, "changing") == &anew);
    check_uint("  is listed once", count_types("changing"), 1);
    check_uint("  and hides no other", count_types(NULL), before + 2);
    check_true("  goes on after the former", lunik_type_next(rt, &former) == &child);
    check_true("  the former keeps its properties", lunik_type_prop(rt, &former, 2) != NULL);
    check_true("  the new one has its own", !lunik_type_prop(rt, &anew, 0));
    p = add("changing", "new", NULL);
    add("child", "kid", NULL);
    check_true("  old devices stay what they are", lunik_object_type(o) == &former);
    check_true("  new ones are of the new type", lunik_object_type(p) == &anew);
    lunik_device_del(m, "old", &err);
    lunik_device_del(m, "new", &err);
    lunik_device_del(m, "kid", &err);
    expect_journal("replaced: calls",
                   "old:realize new:anew kid:realize old:unrealize kid:unrealize ");
    clear();
}

static void test_refusals(void)
{
    refuses("crad", "x", LUNIK_E_NOT_FOUND, "'crad' is not a known type (did you mean 'card'?)");
    refuses("refrigerator", "x", LUNIK_E_NOT_FOUND, "'refrigerator' is not a known type");
    refuses("base", "x", LUNIK_E_INVALID, "'base' is abstract (want a type made from it)");
    refuses("stuff", NULL, LUNIK_E_INVALID, "stuff: id: is missing (want a name)");
    refuses("card", "1x", LUNIK_E_INVALID,
            "card: id: '1x' is not an id (want a letter, then letters, digits, '.', '_' or '-')");
    refuses("card", "x/y", LUNIK_E_INVALID,
            "card: id: 'x/y' is not an id (want a letter, then letters, digits, '.', '_' or '-')");
    refuses("card", "", LUNIK_E_INVALID,
            "card: id: '' is not an id (want a letter, then letters, digits, '.', '_' or '-')");
    refuses("card", "x\n\033[2J", LUNIK_E_INVALID,
            "card: id: 'x??[2J' is not an id (want a letter, then letters, digits, '.', '_' or "
            "'-')");
    check_int("a device is no object", lunik_object_add(m, "card", NULL, 0, NULL, &err),
              LUNIK_E_INVALID);
    check_string("  and says so", err.message, "'card' is a device (use device_add)");
    check_int("an object is no device", lunik_device_add(m, "stuff", NULL, 0, NULL, &err),
              LUNIK_E_INVALID);
    check_string("  and says so", err.message, "'stuff' is not a device (use object_add)");
    expect_journal("nothing was realized", "");
}

static void test_names(void)
{
    lunik_object *named = add("card", "a.b_c-1", NULL), *nameless = add("card", NULL, NULL);

    check_string("a device's path", lunik_object_path(named), "/machine/a.b_c-1");
    check_string("without an id", lunik_object_path(nameless), "/machine/unattached/device[0]");
    check_string("whose id is empty", lunik_object_id(nameless), "");
    check_true("found by path", lunik_object_find(m, "/machine/unattached/device[0]") == nameless);
    check_true("  by the whole path", !lunik_object_find(m, "/machine/device[0]"));
    check_true("  which is no id", !lunik_object_find(m, "device[0]"));
    check_true("no id finds nothing", !lunik_object_find(m, ""));
    refuses("stuff", "a.b_c-1", LUNIK_E_EXISTS, "stuff: id: 'a.b_c-1' is taken");
    check_true("its types and interfaces", lunik_object_is(named, "base") &&
                                               lunik_object_is(named, "blessing") &&
                                               !lunik_object_is(named, "shy") &&
                                               lunik_object_iface(named, "blessing") == &blessing);
    check_true("iteration", lunik_object_next(m, NULL) == named &&
                                lunik_object_next(m, named) == nameless &&
                                !lunik_object_next(m, nameless));
    lunik_object_ref(named);
    check_int("deletion", lunik_device_del(m, "a.b_c-1", &err), 0);
    check_true("a reference keeps the struct",
               !lunik_object_alive(named) && lunik_device_plug_state(named) == LUNIK_PLUG_EJECTED);
    check_true("iteration from an object that is gone", lunik_object_next(m, named) == nameless);
    lunik_object_unref(named);
    lunik_device_del(m, "/machine/unattached/device[0]", &err);
    check_true("nothing is left", !lunik_object_next(m, NULL));
    clear();
}

static void test_failure_undoes(void)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", "x"), LUNIK_FIELD_STRING("uses", "s"),
                                  LUNIK_FIELD_BOOL("fail", true)};

    add("stuff", "s", NULL);
    check_int("realize fails", lunik_device_add(m, "card", fields, 3, NULL, &err), LUNIK_E_IO);
    check_string("  with its message", err.message, "part: broken");
    check_true("  and the id is free", !lunik_object_find(m, "x"));
    check_int("  and the link released", lunik_object_del(m, "s", &err), 0);
    expect_events("  and there was no event", "");
    clear();
}

static void test_users(void)
{
    lunik_object *s = add("stuff", "s", NULL), *a = add("card", "a", "s"), *b;

    check_int("linked by a", lunik_object_del(m, "s", &err), LUNIK_E_BUSY);
    check_string("  it says", err.message, "object 's' is in use by 'a' and can't be deleted");
    check_int("its only user may claim it", lunik_object_claim(s, a, &err), 0);
    check_true("claimed", lunik_object_claimed_by(s) == a);
    b = add("card", "b", "s");
    check_int("another can't", lunik_object_claim(s, b, &err), LUNIK_E_BUSY);
    check_string("  it says", err.message, "object 's' is already in use by 'a'");
    lunik_object_release(s, b);
    check_true("nor release it", lunik_object_claimed_by(s) == a);
    lunik_object_release(s, a);
    check_int("nor a while b has a link", lunik_object_claim(s, a, &err), LUNIK_E_BUSY);
    check_int("a device that is linked stays", lunik_object_use(a, b, &err), 0);
    check_int("  too", lunik_device_del(m, "a", &err), LUNIK_E_BUSY);
    lunik_object_unuse(a, b);
    check_int("uses are counted", lunik_object_use(a, b, &err) + lunik_object_use(a, b, &err), 0);
    lunik_object_unuse(a, b);
    check_int("  one is left", lunik_device_del(m, "a", &err), LUNIK_E_BUSY);
    lunik_object_unuse(a, b);
    lunik_object_unuse(a, b);
    lunik_device_del(m, "a", &err);
    lunik_device_del(m, "b", &err);
    check_int("nothing uses it any more", lunik_object_del(m, "s", &err), 0);
    check_int("not twice", lunik_object_del(m, "s", &err), LUNIK_E_NOT_FOUND);
    clear();
}

static void test_life_cycle(void)
{
    add("fixed", "a", NULL);
    add("card", "b", NULL);
    expect_journal("realized at once", "a:realize b:realize ");
    check_int("start", lunik_machine_start(m, &err), 0);
    expect_journal("reset and run in order of creation", "a:reset b:reset a:run b:run ");
    add("card", "c", NULL);
    expect_journal("hotplugged: reset and run as well", "c:hotplug c:reset c:run ");
    refuses("fixed", "x", LUNIK_E_STATE,
            "'fixed' can't be added to a machine that has been started");
    check_int("nor removed", lunik_device_del(m, "a", &err), LUNIK_E_STATE);
    lunik_machine_pause(m, &err);
    expect_journal("stopped in reverse", "c:stop b:stop a:stop ");
    check_int("removed while paused", lunik_device_del(m, "b", &err), 0);
    expect_journal("at once", "b:unrealize ");
    expect_events("events", "device-added(a) device-added(b) started(?) device-added(c) paused(?) "
                            "device-deleted(b) ");
}

static void test_unplug(void)
{
    lunik_object *x = add("shy", "x", NULL);
    struct part *p = lunik_state(x);

    clear();
    lunik_object_set(x, "refuse", &(lunik_value){.kind = LUNIK_BOOL, .boolean = true}, &err);
    check_int("a request that fails", lunik_device_del(m, "x", &err), LUNIK_E_BUSY);
    check_int("  leaves it plugged", lunik_device_plug_state(x), LUNIK_PLUG_PLUGGED);
    p->refuse = false;
    check_int("a request", lunik_device_del(m, "x", &err), 0);
    check_int("  is pending", lunik_device_plug_state(x), LUNIK_PLUG_REQUESTED);
    check_int("again", lunik_device_del(m, "x", &err), 0);
    check_uint("  asks again", p->requests, 3);
    check_true("what leaves can't be linked", !add("card", "y", "x"));
    check_string("  it says", err.message, "card: uses: 'x' is being unplugged");
    expect_events("one event for one transition", "device-unplug-request(x) ");
    lunik_device_refused(x, 3, 0x80);
    lunik_device_refused(x, 3, 0x80);
    check_int("refused", lunik_device_plug_state(x), LUNIK_PLUG_REFUSED);
    lunik_device_del(m, "x", &err);
    lunik_object_ref(x);
    lunik_device_ejected(x);
    lunik_device_ejected(x);
    check_true("ejected", !lunik_object_alive(x) && !lunik_object_find(m, "x"));
    lunik_object_unref(x);
    expect_events("the rest",
                  "device-unplug-guest-error(x) device-unplug-request(x) device-deleted(x) ");

    x = add("shy", "x", NULL);
    add("card", "y", "x");
    lunik_device_ejected(x);
    check_true("ejected while it is in use: it stays",
               lunik_object_alive(x) && lunik_device_plug_state(x) == LUNIK_PLUG_REFUSED);
    lunik_device_del(m, "y", &err);
    lunik_device_del(m, "x", &err);
    clear();
    check_int("reset", lunik_machine_reset(m, &err), 0);
    check_true("a reset completes what was requested", !lunik_object_find(m, "x"));
    expect_journal("before devices are reset", "x:unrealize a:reset c:reset ");
    clear();
}

static void test_handlers(void)
{
    lunik_object *a = lunik_object_find(m, "a"), *c = lunik_object_find(m, "c");

    check_true("no handler", !lunik_machine_hotplug_handler(m, "memory"));
    check_int("set", lunik_machine_set_hotplug_handler(m, "memory", c, &err), 0);
    check_true("found", lunik_machine_hotplug_handler(m, "memory") == c);
    check_true("by kind", !lunik_machine_hotplug_handler(m, "cpu"));
    check_int("one at a time", lunik_machine_set_hotplug_handler(m, "memory", a, &err),
              LUNIK_E_EXISTS);
    lunik_device_del(m, "c", &err);
    check_true("gone with its object", !lunik_machine_hotplug_handler(m, "memory"));
}

static int add_chip(const char *type, bool fail)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", "x"), LUNIK_FIELD_BOOL("fail", fail)};

    return lunik_device_add(m, type, fields, 2, NULL, &err);
}

static void expect_failure(const char *function, bool fail, const char *want, const char *text)
{
    broken = function;
    check_true("it fails", add_chip("chip", fail) < 0);
    check_string("  says so", err.message, text);
    expect_journal("  what was done is undone", want);
    check_true("  the device is gone", !lunik_object_find(m, "x"));
    broken = NULL;
}

/* The order of a handler's and a device's functions, and what is undone when one fails. */
static void test_plugging(void)
{
    static const char none[] =
        "chip: the machine has no hotplug handler for chip devices (want a socket)";
    lunik_object *s = add("socket", "s", NULL), *c = add("card", "c", NULL);

    clear();
    expect_failure(NULL, false, "", none);
    lunik_machine_set_hotplug_handler(m, "chip", c, &err);
    expect_failure(NULL, false, "", none); /* a card is no handler */
    lunik_machine_set_hotplug_handler(m, "chip", NULL, &err);
    lunik_machine_set_hotplug_handler(m, "chip", s, &err);
    expect_failure("pre_plug", false, "x:pre_plug ", "socket: pre_plug fails");
    expect_failure(NULL, true, "x:pre_plug x:hotplug ", "part: broken");
    expect_failure("plug", false, "x:pre_plug x:hotplug x:plug x:unrealize ", "socket: plug fails");
    check_string("no event", events, "");

    check_int("plugged", add_chip("spare", false), 0);
    expect_journal("in order, as the parent type says", "x:pre_plug x:hotplug x:plug x:reset ");
    check_int("its handler is in use", lunik_device_del(m, "s", &err), LUNIK_E_BUSY);
    broken = "request";
    check_int("a request that fails", lunik_device_del(m, "x", &err), LUNIK_E_BUSY);
    broken = NULL;
    check_int("one that does not", lunik_device_del(m, "x", &err), 0);
    expect_journal("the handler asks", "x:request x:request ");
    lunik_device_ejected(lunik_object_find(m, "x"));
    expect_journal("in reverse order", "x:unplug x:unrealize ");
    expect_events("events", "device-added(x) device-unplug-request(x) device-deleted(x) ");
    check_int("its handler is free", lunik_device_del(m, "s", &err), 0);
    lunik_device_del(m, "c", &err);
    clear();
}

static lunik_region *place(const char *name, lunik_object *owner, int priority)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_RESERVED, .name = name, .size = 16, .owner = owner};
    lunik_region *r = NULL;

    check_true("made", lunik_region_new(m, &config, &r, &err) == 0);
    check_true("placed", lunik_region_add(lunik_space_root(lunik_machine_io(m)), 0x500, r, priority,
                                          true, &err) == 0);
    return r;
}

/* A card leaves, but the region it owns stays: it does not show now, and may do so later. */
static void test_owner_stays(void)
{
    lunik_object *card = add("card", "owner", NULL);
    lunik_region *above = place("above", NULL, 1), *below = place("below", card, 0);

    lunik_object_ref(card);
    check_true("it goes", lunik_device_del(m, "owner", &err) == 0);
    check_true("its region does not show", !lunik_region_enabled(below));
    check_uint("its region keeps it", atomic_load(&card->refs), 2);
    lunik_region_set_enabled(below, true, NULL);
    check_true("another goes", lunik_region_del(above, &err) == 0);
    check_uint("it shows", atomic_load(&card->refs), 2);
    lunik_region_del(below, NULL);
    lunik_region_unref(below);
    lunik_region_unref(above);
    check_uint("the region goes", atomic_load(&card->refs), 1);
    lunik_object_unref(card);
}

static void test_close(void)
{
    add("card", "d", NULL);
    clear();
    lunik_machine_ref(m);
    lunik_machine_close(m);
    expect_journal("closing unrealizes, newest first", "d:unrealize a:unrealize ");
    check_true("a closed machine has no objects", !lunik_object_next(m, NULL));
    check_true("and takes none", !add("card", "z", NULL) && err.code == LUNIK_E_GONE);
    lunik_machine_unref(m);
}

int main(void)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_runtime_new(types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err)) {
        check_string("set up", err.message, "");
        return 1;
    }
    lunik_event_subscribe(m, &listening);
    test_bad_types();
    test_replaced();
    test_refusals();
    test_names();
    test_failure_undoes();
    test_users();
    test_life_cycle();
    test_unplug();
    test_handlers();
    test_plugging();
    test_owner_stays();
    test_close();
    lunik_runtime_free(rt);
    return check_result();
}
