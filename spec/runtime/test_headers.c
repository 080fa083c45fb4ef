/* test_headers.c: what the public headers define themselves: versions and interfaces. */
#include <stdio.h>

#include "lunik_device.h"
#include "check.h"

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;

static void test_version(void)
{
    int major = -1, minor = -1, patch = -1;

    check_string("the library's version is the headers'", lunik_version(), LUNIK_VERSION_STRING);
    check_int("three numbers", sscanf(lunik_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    check_int("major", major, LUNIK_VERSION_MAJOR);
    check_int("minor", minor, LUNIK_VERSION_MINOR);
    check_int("patch", patch, LUNIK_VERSION_PATCH);
    check_int("as one number", LUNIK_VERSION, major << 16 | minor << 8 | patch);
#if LUNIK_VERSION < LUNIK_VERSION_NUMBER(0, 1, 0) ||                                               \
    LUNIK_VERSION >= LUNIK_VERSION_NUMBER(255, 0, 0)
    check_true("for the preprocessor as well", false);
#endif
    check_true("in order", LUNIK_VERSION_NUMBER(0, 2, 0) > LUNIK_VERSION_NUMBER(0, 1, 255) &&
                               LUNIK_VERSION_NUMBER(1, 0, 0) > LUNIK_VERSION_NUMBER(0, 255, 255));
}

static lunik_object *add(const char *type)
{
    const lunik_field id = LUNIK_FIELD_STRING("id", type);
    lunik_object *o = NULL;

    check_int(type, lunik_object_add(m, type, &id, 1, &o, &err), 0);
    return o;
}

static void test_getters(void)
{
    lunik_object *null = add("chardev-null"), *buffer = add("chardev-buffer");

    check_true("a character device", lunik_chardev_iface(null) != NULL);
    check_true("  the same as by its name",
               lunik_chardev_iface(null) == lunik_object_iface(null, "chardev"));
    check_true("  has no other interface", !lunik_chardev_buffer_iface(null) &&
                                               !lunik_gpe_iface(null) && !lunik_acpi_iface(null));
    check_true("one that has two",
               lunik_chardev_iface(buffer) != NULL && lunik_chardev_buffer_iface(buffer) != NULL);
}

static void ring(lunik_object *o, unsigned gpe)
{
}

/* An entry has the name under which the getter looks. */
static void test_entries(void)
{
    static const lunik_gpe_ops gpe = {.count = 1, .raise = ring};
    static const lunik_iface ifaces[] = {LUNIK_IFACE(gpe, &gpe), {0}};
    static const lunik_type bell = {
        .name = "bell", .flags = LUNIK_TYPE_DEVICE, .size = 8, .ifaces = ifaces};
    lunik_object *o = NULL;

    check_int("a type", lunik_type_add(rt, &bell, &err), 0);
    check_int("  a device of it", lunik_device_add(m, "bell", NULL, 0, &o, &err), 0);
    check_true("  its interface", lunik_gpe_iface(o) == &gpe);
    check_true("  by the name", lunik_object_is(o, LUNIK_IFACE_gpe));
}

/* Each name is that of an interface which some type implements. */
static void test_names(void)
{
    static const char *const names[] = {
        LUNIK_IFACE_memory_backend,
        LUNIK_IFACE_memory_device,
        LUNIK_IFACE_hotplug,
        LUNIK_IFACE_acpi_slots,
        LUNIK_IFACE_gpe,
        LUNIK_IFACE_power_button,
        LUNIK_IFACE_acpi_pm,
        LUNIK_IFACE_acpi,
        LUNIK_IFACE_chardev,
        LUNIK_IFACE_chardev_tap,
        LUNIK_IFACE_chardev_buffer,
        NULL,
    };

    for (size_t n = 0; names[n]; n++) {
        bool found = false;

        for (const lunik_type *const *t = lunik_builtin_types(); *t && !found; t++)
            for (const lunik_iface *i = (*t)->ifaces; i && i->name && !found; i++)
                found = !strcmp(i->name, names[n]);
        check_true(names[n], found);
    }
}

int main(void)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    test_version();
    check_int("runtime", lunik_runtime_new(lunik_builtin_types(), &rt, &err), 0);
    check_int("machine", lunik_machine_new(rt, &config, &m, &err), 0);
    test_getters();
    test_entries();
    test_names();
    lunik_runtime_free(rt);
    return check_result();
}
