/*
 * fuzz_props.c: objects and devices of every type with any properties, on a pc board: added, read,
 * set, deleted, in transactions and by themselves. -max_len=512 -runs=700
 *
 * A refused call has an error message and changes nothing; an accepted value reads as the type
 * says.
 */
#define _GNU_SOURCE /* memfd_create */
#include <sys/mman.h>

#include "board.h"

enum { TYPES_MAX = 64, FIELDS_MAX = 8, OBJECTS = 4, LIST_MAX = 4, PREALLOC_MAX = 1 << 20 };

static const lunik_type *types[TYPES_MAX];
static unsigned type_count;
static int file_fd;
static char file[64]; /* a path that may be written to: that file */

/* ---- values --------------------------------------------------------------------------------- */

/* Strings of one input; they last until its end. */
static char texts[256][64];
static unsigned text_count;
static lunik_value lists[16][LIST_MAX];
static unsigned list_count;

static const char *text_from_input(void)
{
    char *text = texts[text_count++ % 256];
    size_t size;
    const uint8_t *bytes = fuzz_bytes(sizeof(texts[0]) - 1, &size);

    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

/* Files are never those of the user who runs this. */
static const char *choose_path(void)
{
    const char *const paths[] = {file,        "/dev/shm", "/nonexistent/file",
                                 "/dev/null", "",         "/proc/self"};
    uint8_t how = fuzz_byte();

    return how & 0x80 ? file : paths[how % 6];
}

static const char *choose_text(void)
{
    static const char *const usual[] = {"m0",
                                        "m1",
                                        "m2",
                                        "m3",
                                        "pc.ram",
                                        "i440fx",
                                        "piix3",
                                        "rtc",
                                        "piix4-pm",
                                        "dimm",
                                        "serial",
                                        "0",
                                        "1M",
                                        "-1",
                                        "0x1G",
                                        "on",
                                        "off",
                                        "true",
                                        "1.0",
                                        "1f.7",
                                        "bind",
                                        "auto",
                                        "2",
                                        "16E",
                                        "1.3",
                                        "serial0",
                                        "device-memory",
                                        "memory-hotplug"};
    uint8_t how = fuzz_byte();

    return how & 0x80 ? text_from_input() : usual[how % (sizeof(usual) / sizeof(usual[0]))];
}

static lunik_value choose_value(unsigned depth)
{
    uint8_t how = fuzz_byte();
    lunik_value v = {.kind = (lunik_value_kind)(how % 6)};
    lunik_value *items;

    switch (v.kind) {
    case LUNIK_NIL:
        break;
    case LUNIK_BOOL:
        v.boolean = how & 0x80;
        break;
    case LUNIK_INT:
        v.sint = (int64_t)fuzz_hostile();
        break;
    case LUNIK_UINT:
        v.uint = how & 0x80 ? fuzz_below(4) * 0x200000ull : fuzz_hostile();
        break;
    case LUNIK_STRING:
        v.string = choose_text();
        break;
    case LUNIK_LIST:
        items = lists[list_count++ % 16];
        v.list.count = depth ? 0 : (how >> 4) % (LIST_MAX + 1);
        for (size_t i = 0; i < v.list.count; i++)
            items[i] = choose_value(depth + 1);
        v.list.items = items;
        break;
    }
    return v;
}

/* A value of the kind that the property has. */
static lunik_value value_of_kind(const lunik_prop *p)
{
    lunik_value v = {.kind = LUNIK_UINT};
    uint64_t range = p->max ? p->max - p->min + 1 : 0;

    switch (p->kind) {
    case LUNIK_PROP_SIZE:
        v.uint = fuzz_below(8) * 0x200000ull;
        break;
    case LUNIK_PROP_UINT:
    case LUNIK_PROP_INT:
        v.kind = p->kind == LUNIK_PROP_INT ? LUNIK_INT : LUNIK_UINT;
        v.uint = p->min + (range ? fuzz_number(4) % range : fuzz_number(2));
        break;
    case LUNIK_PROP_BOOL:
        v = (lunik_value){.kind = LUNIK_BOOL, .boolean = fuzz_byte() & 1};
        break;
    case LUNIK_PROP_ENUM: {
        unsigned choices = 0;

        while (p->choices[choices])
            choices++;
        v = (lunik_value){.kind = LUNIK_STRING, .string = p->choices[fuzz_below(choices)]};
        break;
    }
    case LUNIK_PROP_STRING:
    case LUNIK_PROP_LINK:
        v = (lunik_value){.kind = LUNIK_STRING, .string = choose_text()};
        break;
    case LUNIK_PROP_UINT_LIST:
        v = choose_value(0);
    }
    return v;
}

static lunik_field field_of(const lunik_prop *p, bool sound)
{
    lunik_field field = {.name = p->name};

    if (strstr(p->name, "path"))
        field.value = (lunik_value){.kind = LUNIK_STRING, .string = choose_path()};
    else
        field.value = sound ? value_of_kind(p) : choose_value(0);
    return field;
}

/* One of the type's own properties, or one that no type has. */
static lunik_field choose_field(const lunik_prop *const *props, unsigned count)
{
    uint8_t how = fuzz_byte();

    if (!count || how == 0xff)
        return (lunik_field){.name = count ? text_from_input() : "x", .value = choose_value(0)};
    return field_of(props[how % count], fuzz_byte() & 3);
}

/* What a type can't do without; returns how many fields there are then. */
static unsigned add_required(lunik_field *fields, unsigned filled, const lunik_prop *const *props,
                             unsigned count)
{
    for (unsigned i = 0; i < count && filled < FIELDS_MAX; i++)
        if (props[i]->flags & LUNIK_PROP_REQUIRED && strcmp(props[i]->name, "id"))
            fields[filled++] = field_of(props[i], true);
    return filled;
}

/* Memory that is touched is kept small. */
static void limit_prealloc(lunik_field *fields, unsigned count)
{
    bool prealloc = false;

    for (unsigned i = 0; i < count; i++)
        prealloc |= !strncmp(fields[i].name, "prealloc", 8);
    for (unsigned i = 0; prealloc && i < count; i++)
        if (!strcmp(fields[i].name, "size"))
            fields[i].value = (lunik_value){.kind = LUNIK_UINT, .uint = PREALLOC_MAX};
}

/* ---- objects -------------------------------------------------------------------------------- */

static unsigned object_count(void)
{
    unsigned count = 0;

    for (lunik_object *o = NULL; (o = lunik_object_next(board, o));)
        count++;
    return count;
}

static void check_error(int rc, const lunik_error *err)
{
    fuzz_check(rc < 0 && *err->message && !strchr(err->message, '\n'), "%d '%s'", rc, err->message);
}

static void check_number(const lunik_object *o, const lunik_prop *p, const lunik_value *v)
{
    if (p->kind == LUNIK_PROP_INT)
        fuzz_check(!p->max || (v->sint >= (int64_t)p->min && v->sint <= (int64_t)p->max),
                   "%s: %s is %" PRId64, lunik_object_type_name(o), p->name, v->sint);
    else
        fuzz_check(v->uint >= p->min && (!p->max || v->uint <= p->max), "%s: %s is %" PRIu64,
                   lunik_object_type_name(o), p->name, v->uint);
}

/* Every property reads as its kind of value, within its limits if the user may give it. */
static void check_object(lunik_object *o)
{
    static const lunik_value_kind kinds[] = {
        [LUNIK_PROP_SIZE] = LUNIK_UINT,   [LUNIK_PROP_UINT] = LUNIK_UINT,
        [LUNIK_PROP_INT] = LUNIK_INT,     [LUNIK_PROP_BOOL] = LUNIK_BOOL,
        [LUNIK_PROP_ENUM] = LUNIK_STRING, [LUNIK_PROP_STRING] = LUNIK_STRING,
        [LUNIK_PROP_LINK] = LUNIK_STRING, [LUNIK_PROP_UINT_LIST] = LUNIK_LIST};
    const lunik_type *type = lunik_object_type(o);
    lunik_runtime *rt = lunik_machine_runtime(board);
    const lunik_prop *p;

    for (size_t i = 0; (p = lunik_type_prop(rt, type, i)); i++) {
        lunik_value v;
        lunik_error err = {0};

        fuzz_must(lunik_object_get(o, p->name, &v, &err), err);
        fuzz_check(v.kind == kinds[p->kind] || v.kind == LUNIK_NIL, "%s: %s reads as kind %d",
                   type->name, p->name, v.kind);
        if (p->kind <= LUNIK_PROP_INT && v.kind != LUNIK_NIL && !(p->flags & LUNIK_PROP_READONLY))
            check_number(o, p, &v);
    }
}

static unsigned props_of(const lunik_type *type, const lunik_prop **props)
{
    lunik_runtime *rt = lunik_machine_runtime(board);
    unsigned count = 0;

    while (count < 64 && (props[count] = lunik_type_prop(rt, type, count)))
        count++;
    return count;
}

static void add(void)
{
    const lunik_type *type = types[fuzz_below(type_count)];
    const lunik_prop *props[64];
    lunik_field fields[FIELDS_MAX];
    unsigned prop_count = props_of(type, props), count, before = object_count();
    uint8_t how = fuzz_byte();
    bool device = !!(type->flags & LUNIK_TYPE_DEVICE) != (how == 0xfe);
    static const char *const ids[OBJECTS] = {"m0", "m1", "m2", "m3"};
    lunik_object *o = NULL;
    lunik_error err = {0};
    char *map = NULL, *after;
    int rc;

    fields[0] = LUNIK_FIELD_STRING("id", ids[how % OBJECTS]);
    count = how & 0x40 ? 0 : 1;
    if (how & 0x30)
        count = add_required(fields, count, props, prop_count);
    for (unsigned n = fuzz_below(FIELDS_MAX); count < n && fuzz_more();)
        fields[count++] = choose_field(props, prop_count);
    limit_prealloc(fields, count);
    if (device)
        map = board_map();
    rc = device ? lunik_device_add(board, type->name, fields, count, &o, &err)
                : lunik_object_add(board, type->name, fields, count, &o, &err);
    if (!rc) {
        fuzz_check(object_count() == before + 1, "%s is not in the list", type->name);
        check_object(o);
    } else {
        check_error(rc, &err);
        fuzz_check(object_count() == before, "%s stays although %s", type->name, err.message);
    }
    if (rc && map) {
        after = board_map();
        fuzz_check(!strcmp(map, after), "%s changes the map:\n%s\n%s", err.message, map, after);
        free(after);
    }
    free(map);
}

static lunik_object *some_object(void)
{
    unsigned n = fuzz_below(object_count());
    lunik_object *o = lunik_object_next(board, NULL);

    while (n-- > 0)
        o = lunik_object_next(board, o);
    return o;
}

static void set(void)
{
    lunik_object *o = some_object();
    const lunik_prop *props[64], *p = NULL;
    unsigned count = props_of(lunik_object_type(o), props);
    lunik_field field = choose_field(props, count);
    lunik_error err = {0};
    int rc = lunik_object_set(o, field.name, &field.value, &err);

    for (unsigned i = 0; i < count; i++)
        if (!strcmp(props[i]->name, field.name))
            p = props[i];
    if (rc)
        check_error(rc, &err);
    else if (p)
        fuzz_check(p->flags & LUNIK_PROP_LIVE, "%s: %s is set", lunik_object_type_name(o), p->name);
    check_object(o);
}

static void del(void)
{
    lunik_object *o = some_object();
    unsigned before = object_count();
    lunik_error err = {0};
    int rc = lunik_object_is_device(o) ? lunik_device_del(board, lunik_object_id(o), &err)
                                       : lunik_object_del(board, lunik_object_id(o), &err);

    if (rc)
        check_error(rc, &err);
    if (lunik_in_transaction(board)) /* with it, unless it was added in it */
        return;
    fuzz_check(object_count() == before - (rc == 0), "%u objects of %u, %d", object_count(), before,
               rc);
}

/* ---- transactions --------------------------------------------------------------------------- */

static void print_value(FILE *out, const lunik_value *v)
{
    if (v->kind == LUNIK_STRING)
        fprintf(out, "'%s'", v->string);
    else if (v->kind == LUNIK_BOOL)
        fputs(v->boolean ? "true" : "false", out);
    else if (v->kind == LUNIK_INT || v->kind == LUNIK_UINT)
        fprintf(out, "%" PRIu64, v->uint);
    else
        for (size_t i = 0; v->kind == LUNIK_LIST && i < v->list.count; i++)
            print_value(out, &v->list.items[i]);
}

/* Every object with its properties, and the memory map; to be freed. */
static char *everything(void)
{
    lunik_runtime *rt = lunik_machine_runtime(board);
    char *text = NULL, *map = board_map();
    size_t size;
    FILE *out = open_memstream(&text, &size);
    const lunik_prop *p;

    fuzz_check(out, "no memory");
    fputs(map, out);
    free(map);
    for (lunik_object *o = NULL; (o = lunik_object_next(board, o));) {
        fprintf(out, "%s %s\n", lunik_object_type_name(o), lunik_object_path(o));
        for (size_t i = 0; (p = lunik_type_prop(rt, lunik_object_type(o), i)); i++) {
            lunik_value v;
            lunik_error err = {0};

            fuzz_must(lunik_object_get(o, p->name, &v, &err), err);
            fprintf(out, "  %s = ", p->name);
            print_value(out, &v);
            fputc('\n', out);
        }
    }
    fclose(out);
    return text;
}

/* One that is given up, or can't be committed, leaves everything as it was. */
static void transact(void)
{
    static void (*const steps[])(void) = {set, add, del, set};
    uint8_t how = fuzz_byte();
    char *before = everything(), *after;
    lunik_error err = {0};
    int rc = -1;

    lunik_transaction_begin(board);
    for (unsigned n = 1 + how % 4; n > 0; n--)
        steps[fuzz_below(4)]();
    if (how & 0x80)
        rc = lunik_transaction_commit(board, &err);
    else
        lunik_transaction_abort(board);
    if (rc) {
        after = everything();
        fuzz_check(!strcmp(before, after), "a transaction stays:\n%s\n%s", before, after);
        free(after);
    }
    free(before);
}

/* A device of the user's, whose properties of each kind may be set at any time. */
static void define_device(void)
{
    static const char *const definition =
        "local kinds = { 'size', 'uint', 'int', 'bool', 'string', 'link', 'list', 'enum' }\n"
        "local properties = { limited = { kind = 'int', min = -5, max = 9, live = true } }\n"
        "for _, kind in ipairs(kinds) do\n"
        "  properties['the-' .. kind] = { kind = kind, live = true,\n"
        "    link = kind == 'link' and 'memory-backend' or nil,\n"
        "    choices = kind == 'enum' and { 'one', 'two', 'three' } or nil }\n"
        "end\n"
        "lunik.device { name = 'all-kinds', hotplug = true, properties = properties }";

    fuzz_check(luaL_loadstring(board_lua, definition) == LUA_OK, "%s", lua_tostring(board_lua, -1));
    board_run(0, 0);
}

static void find_types(void)
{
    lunik_runtime *rt = lunik_machine_runtime(board);

    define_device();
    file_fd = memfd_create("fuzz", MFD_CLOEXEC);
    /* The terminal is not the fuzzer's to change. */
    for (const lunik_type *t = NULL; (t = lunik_type_next(rt, t));)
        if (strcmp(t->name, "chardev-stdio") && type_count < TYPES_MAX)
            types[type_count++] = t;
    snprintf(file, sizeof(file), "/proc/self/fd/%d", file_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    board_open("memory = '2M', maxmem = '64M', slots = 2, acpi = false");
    if (!type_count)
        find_types();
    text_count = list_count = 0;
    fuzz_check(ftruncate(file_fd, 0) == 0, "the file stays as it was");
    while (fuzz_more() && object_count()) {
        switch (fuzz_byte() % 8) {
        case 0:
            set();
            break;
        case 1:
            del();
            break;
        case 2:
            board_reset();
            break;
        case 3:
            transact();
            break;
        default:
            add();
        }
    }
    board_close();
    return 0;
}
