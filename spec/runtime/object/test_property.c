/* test_property.c: what each kind of property takes, and the words for what it does not. */
#include "lunik_device.h"
#include "check.h"

struct thing {
    uint64_t size, number;
    int64_t offset;
    bool flag;
    int color;
    char *text;
    lunik_object *friend;
    lunik_uint_list list;
    unsigned sets;
};

static const char *const colors[] = {"red", "green", "blue", NULL};

static int set_offset(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct thing *t = lunik_state(o);

    t->sets++;
    t->offset = value->sint * 2;
    return 0;
}

static void get_double(lunik_object *o, lunik_value *out)
{
    const struct thing *t = lunik_state(o);
    *out = (lunik_value){.kind = LUNIK_UINT, .uint = t->number * 2};
}

#define FIELD(name) offsetof(struct thing, name)

static const lunik_prop props[] = {
    {.name = "size", .kind = LUNIK_PROP_SIZE, .offset = FIELD(size), .def = 4096, .min = 1},
    {.name = "number",
     .kind = LUNIK_PROP_UINT,
     .offset = FIELD(number),
     .flags = LUNIK_PROP_LIVE,
     .min = 5,
     .max = 300},
    {.name = "signed-offset",
     .kind = LUNIK_PROP_INT,
     .offset = FIELD(offset),
     .flags = LUNIK_PROP_LIVE,
     .def = (uint64_t)-1,
     .min = (uint64_t)-1,
     .max = 15,
     .set = set_offset},
    {.name = "flag", .kind = LUNIK_PROP_BOOL, .offset = FIELD(flag), .def = true},
    {.name = "color", .kind = LUNIK_PROP_ENUM, .offset = FIELD(color), .def = 1, .choices = colors},
    {.name = "text",
     .kind = LUNIK_PROP_STRING,
     .offset = FIELD(text),
     .flags = LUNIK_PROP_LIVE,
     .def_string = "none"},
    {.name = "friend",
     .kind = LUNIK_PROP_LINK,
     .offset = FIELD(friend),
     .flags = LUNIK_PROP_LIVE,
     .link = "thing"},
    {.name = "list", .kind = LUNIK_PROP_UINT_LIST, .offset = FIELD(list), .max = 63},
    {.name = "double", .kind = LUNIK_PROP_UINT, .flags = LUNIK_PROP_READONLY, .get = get_double},
    {0},
};

static const lunik_prop needy_props[] = {
    {.name = "size", .kind = LUNIK_PROP_SIZE, .offset = FIELD(size), .flags = LUNIK_PROP_REQUIRED},
    {0},
};

static const lunik_type thing_type = {
    .name = "thing", .size = sizeof(struct thing), .props = props};
static const lunik_type needy_type = {
    .name = "needy-thing", .parent = "thing", .size = sizeof(struct thing), .props = needy_props};
static const lunik_type stone_type = {.name = "stone"};
static const lunik_type *const types[] = {&thing_type, &needy_type, &stone_type, NULL};

static lunik_machine *m;

#define NUMBER(v)   ((lunik_value){.kind = LUNIK_INT, .sint = (v)})
#define UNSIGNED(v) ((lunik_value){.kind = LUNIK_UINT, .uint = (v)})
#define TEXT(v)     ((lunik_value){.kind = LUNIK_STRING, .string = (v)})
#define TRUTH(v)    ((lunik_value){.kind = LUNIK_BOOL, .boolean = (v)})

/* Makes a thing with one property and gives its state, or NULL and the message. */
static struct thing *make(const char *name, lunik_value value, lunik_error *err)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", "t"), {name, value}};
    lunik_object *o;

    *err = (lunik_error){0};
    return lunik_object_add(m, "thing", fields, 2, &o, err) ? NULL : lunik_state(o);
}

static void takes(const char *name, lunik_value value, size_t offset, uint64_t want)
{
    char title[128];
    lunik_error err;
    struct thing *t = make(name, value, &err);

    snprintf(title, sizeof(title), "%s takes %s%" PRId64, name,
             value.kind == LUNIK_STRING ? value.string : "", value.sint);
    if (!t) {
        check_string(title, err.message, "no error");
        return;
    }
    if (!strcmp(name, "flag"))
        check_uint(title, *(bool *)((char *)t + offset), want);
    else if (!strcmp(name, "color"))
        check_uint(title, (uint64_t) * (int *)((char *)t + offset), want);
    else
        check_uint(title, *(uint64_t *)((char *)t + offset), want);
    lunik_object_del(m, "t", &err);
}

static void refuses(const char *name, lunik_value value, const char *message)
{
    lunik_error err;

    if (make(name, value, &err))
        lunik_object_del(m, "t", NULL);
    check_string(message, err.message, message);
    check_true("  and makes nothing", !lunik_object_find(m, "t"));
}

static void test_takes(void)
{
    takes("size", TEXT("512M"), FIELD(size), 512u << 20);
    takes("size", TEXT("0x1000"), FIELD(size), 4096);
    takes("size", NUMBER(77), FIELD(size), 77);
    takes("size", UNSIGNED(UINT64_MAX), FIELD(size), UINT64_MAX);
    takes("number", NUMBER(5), FIELD(number), 5);
    takes("number", TEXT("300"), FIELD(number), 300);
    takes("number", TEXT("0x10"), FIELD(number), 16);
    takes("number", TEXT("256B"), FIELD(number), 256);
    takes("signed-offset", NUMBER(-1), FIELD(offset), (uint64_t)-1);
    takes("signed_offset", TEXT("-1"), FIELD(offset), (uint64_t)-1);
    takes("signed-offset", UNSIGNED(15), FIELD(offset), 15);
    takes("flag", TRUTH(false), FIELD(flag), 0);
    takes("flag", TEXT("off"), FIELD(flag), 0);
    takes("flag", TEXT("no"), FIELD(flag), 0);
    takes("flag", TEXT("yes"), FIELD(flag), 1);
    takes("color", TEXT("blue"), FIELD(color), 2);
}

static void test_refuses(void)
{
    refuses("size", TEXT("4Q"), "thing: size: '4Q' is not a size (want e.g. 512M, 4G)");
    refuses("size", TEXT(""), "thing: size: '' is not a size (want e.g. 512M, 4G)");
    refuses("size", NUMBER(0), "thing: size: 0 is out of range (want at least 1)");
    refuses("size", NUMBER(-4096), "thing: size: -4096 is out of range (want at least 1)");
    refuses("size", TEXT("-1"), "thing: size: '-1' is out of range (want at least 1)");
    refuses("size", TEXT("99999999999999999999"),
            "thing: size: '99999999999999999999' does not fit in 64 bits");
    refuses("size", TRUTH(true), "thing: size: true is not a size (want e.g. 512M, 4G)");
    refuses("number", NUMBER(4), "thing: number: 4 is out of range (want 5 to 300)");
    refuses("number", TEXT("301"), "thing: number: '301' is out of range (want 5 to 300)");
    refuses("number", TEXT("1K"), "thing: number: '1K' is out of range (want 5 to 300)");
    refuses("number", TEXT("5x"), "thing: number: '5x' is not a number (want 5 to 300)");
    refuses("number", TEXT(" 5"), "thing: number: ' 5' is not a number (want 5 to 300)");
    refuses("signed-offset", NUMBER(16),
            "thing: signed-offset: 16 is out of range (want -1 to 15)");
    refuses("signed-offset", NUMBER(-2),
            "thing: signed-offset: -2 is out of range (want -1 to 15)");
    refuses("signed-offset", UNSIGNED(UINT64_MAX),
            "thing: signed-offset: 18446744073709551615 is out of range (want -1 to 15)");
    refuses("flag", TEXT("maybe"), "thing: flag: 'maybe' is not a boolean (want true or false)");
    refuses("flag", NUMBER(1), "thing: flag: 1 is not a boolean (want true or false)");
    refuses("color", TEXT("pink"),
            "thing: color: 'pink' is not one of the choices (want red, green or blue)");
    refuses("text", NUMBER(3), "thing: text: 3 is not a string (want a string)");
    refuses("friend", TEXT("nobody"),
            "thing: friend: there is no object 'nobody' (want the id of a thing)");
    refuses("friend", TEXT("rock"), "thing: friend: 'rock' is a stone (want the id of a thing)");
    refuses("list", TEXT("all"), "thing: list: 'all' is not a list of numbers (want e.g. {0, 1})");
    refuses("list", NUMBER(64), "thing: list: 64 is out of range (want 0 to 63)");
    refuses("double", NUMBER(1), "thing: double: can only be read");
    refuses("colour", TEXT("red"), "thing: has no property 'colour' (did you mean 'color'?)");
    refuses("weight", NUMBER(1), "thing: has no property 'weight'");
    refuses("id", TEXT("u"), "thing: id: is given twice");
}

static void test_twice_and_missing(void)
{
    const lunik_field twice[] = {LUNIK_FIELD_STRING("id", "t"), LUNIK_FIELD_INT("number", 5),
                                 LUNIK_FIELD_INT("number", 6)};
    lunik_error err = {0};

    lunik_object_add(m, "thing", twice, 3, NULL, &err);
    check_string("a property given twice", err.message, "thing: number: is given twice");
    lunik_object_add(m, "needy-thing", twice, 1, NULL, &err);
    check_string("a child's property replaces its parent's", err.message,
                 "needy-thing: size: is missing (want e.g. 512M, 4G)");
}

static void test_get_and_set(void)
{
    lunik_value items[] = {NUMBER(3), TEXT("9")};
    lunik_error err = {0};
    struct thing *t = make("list", (lunik_value){.kind = LUNIK_LIST, .list = {items, 2}}, &err);
    lunik_object *o = lunik_state_object(t);
    lunik_value v;

    lunik_object_get(o, "list", &v, &err);
    check_true("a list reads back",
               v.kind == LUNIK_LIST && v.list.count == 2 && v.list.items[1].uint == 9);
    lunik_object_get(o, "color", &v, &err);
    check_string("the default of an enum", v.string, "green");
    lunik_object_get(o, "text", &v, &err);
    check_string("the default of a string", v.string, "none");
    lunik_object_get(o, "id", &v, &err);
    check_string("the id is a property", v.string, "t");
    lunik_object_set(o, "number", &NUMBER(21), &err);
    lunik_object_get(o, "double", &v, &err);
    check_uint("a computed value", v.uint, 42);
    lunik_object_set(o, "signed_offset", &TEXT("7"), &err);
    check_int("a set function gets the value in its own kind", t->offset, 14);
    check_int("a range holds for set as well",
              lunik_object_set(o, "signed-offset", &NUMBER(99), &err), LUNIK_E_INVALID);
    check_uint("  and the function is not called", t->sets, 1);
    lunik_object_set(o, "text", &TEXT("a new text"), &err);
    lunik_object_get(o, "text", &v, &err);
    check_string("a new string", v.string, "a new text");
    check_int("size is fixed", lunik_object_set(o, "size", &NUMBER(1), &err), LUNIK_E_STATE);
    check_string("  and says so", err.message, "thing: size: can't be changed after creation");
    check_int("so is id", lunik_object_set(o, "id", &TEXT("x"), &err), LUNIK_E_INVALID);
    check_int("unknown to get", lunik_object_get(o, "nunber", &v, &err), LUNIK_E_NOT_FOUND);
    check_string("  with a suggestion", err.message,
                 "thing: has no property 'nunber' (did you mean 'number'?)");
    lunik_object_ref(o);
    lunik_object_del(m, "t", NULL);
    check_int("a deleted object", lunik_object_get(o, "number", &v, &err), LUNIK_E_GONE);
    check_string("  says so", err.message, "object 't' is gone");
    lunik_object_unref(o);
}

static void test_live_link(void)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", "u")};
    lunik_error err = {0};
    struct thing *t = make("flag", TRUTH(true), &err);
    lunik_object *o = lunik_state_object(t);
    lunik_value v;

    lunik_object_add(m, "thing", fields, 1, NULL, &err);
    lunik_object_set(o, "friend", &TEXT("u"), &err);
    lunik_object_get(o, "friend", &v, &err);
    check_string("a link reads as an id", v.string, "u");
    check_int("what is linked stays", lunik_object_del(m, "u", &err), LUNIK_E_BUSY);
    check_string("  and says by whom", err.message,
                 "object 'u' is in use by 't' and can't be deleted");
    lunik_object_set(o, "friend", &(lunik_value){.kind = LUNIK_NIL}, &err);
    check_int("a link that is cut keeps nothing", lunik_object_del(m, "u", &err), 0);
    lunik_object_del(m, "t", NULL);
}

int main(void)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};
    const lunik_field rock[] = {LUNIK_FIELD_STRING("id", "rock")};
    lunik_runtime *rt;
    lunik_error err = {0};

    if (lunik_runtime_new(types, &rt, &err) || lunik_machine_new(rt, &config, &m, &err) ||
        lunik_object_add(m, "stone", rock, 1, NULL, &err)) {
        check_string("set up", err.message, "");
        return 1;
    }
    test_takes();
    test_refuses();
    test_twice_and_missing();
    test_get_and_set();
    test_live_link();
    lunik_runtime_free(rt);
    return check_result();
}
