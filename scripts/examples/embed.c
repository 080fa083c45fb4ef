/*
 * embed.c: a C program with a virtual machine in it.
 *
 *   cc embed.c $(pkg-config --cflags --libs lunik) && ./a.out
 *
 * The machine has 64 KiB of RAM and two devices; its guest is a few bytes of real-mode code that
 * prints a greeting to the debug console and leaves through the exit port.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lunik_device.h>

/* The guest, at the start of the last 64 KiB below 4 GiB: a CPU's code segment at reset. */
static const uint8_t guest_code[] = {
    0xbe, 0x10, 0x00, /* 00       mov si, text */
    0x2e, 0xac,       /* 03 next: cs lodsb     */
    0x84, 0xc0,       /* 05       test al, al  */
    0x74, 0x04,       /* 07       jz done      */
    0xe6, 0xe9,       /* 09       out 0xe9, al */
    0xeb, 0xf6,       /* 0b       jmp next     */
    0xe6, 0xf4,       /* 0d done: out 0xf4, al */
    0xf4,             /* 0f       hlt          */
    'h',  'e',  'l',  'l', 'o', ' ', 'f', 'r', 'o', 'm',  ' ',
    't',  'h',  'e',  ' ', 'g', 'u', 'e', 's', 't', '\n', 0,
};
static const uint8_t reset_vector[] = {0xe9, 0x0d, 0x00}; /* jmp 0 */

#define GUEST_BASE   0xffff0000
#define RESET_VECTOR 0xfffffff0

static void check(int rc, const lunik_error *err)
{
    if (!rc)
        return;
    fprintf(stderr, "embed: %s\n", err->message);
    exit(1);
}

static void on_event(void *opaque, const lunik_event *event)
{
    printf("event: %s\n", event->name);
}

/* Adds RAM from a memory backend. */
static lunik_region *add_ram(lunik_machine *m)
{
    const lunik_field props[] = {
        LUNIK_FIELD_STRING("id", "ram0"),
        LUNIK_FIELD_UINT("size", 0x10000),
    };
    const lunik_memory_backend_ops *backend;
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    lunik_object *object;
    lunik_region *ram;
    lunik_error err;

    check(lunik_object_add(m, "memory-backend-ram", props, 2, &object, &err), &err);
    backend = lunik_memory_backend_iface(object);
    config.ram = backend->ram(object);
    check(lunik_region_new(m, &config, &ram, &err), &err);
    check(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), GUEST_BASE, ram, 0, false,
                           &err),
          &err);
    return ram;
}

static void add_devices(lunik_machine *m)
{
    const lunik_field output[] = {
        LUNIK_FIELD_STRING("id", "output"),
    };
    const lunik_field console[] = {
        LUNIK_FIELD_STRING("chardev", "output"),
    };
    lunik_error err;

    check(lunik_object_add(m, "chardev-stdio", output, 1, NULL, &err), &err);
    check(lunik_device_add(m, "debugcon", console, 1, NULL, &err), &err);
    check(lunik_device_add(m, "debug-exit", NULL, 0, NULL, &err), &err);
}

static void place_guest(lunik_machine *m)
{
    lunik_error err;

    check(lunik_rom_add(m, "guest", GUEST_BASE, guest_code, sizeof(guest_code), &err), &err);
    check(lunik_rom_add(m, "reset", RESET_VECTOR, reset_vector, sizeof(reset_vector), &err), &err);
}

int main(void)
{
    const lunik_machine_config config = {.name = "embedded", .cpus = 1};
    lunik_event_sub events = {.fn = on_event};
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_region *ram;
    lunik_error err;
    int code;

    check(lunik_runtime_new(lunik_builtin_types(), &rt, &err), &err);
    check(lunik_machine_new(rt, &config, &m, &err), &err);
    lunik_event_subscribe(m, &events);
    ram = add_ram(m);
    add_devices(m);
    place_guest(m);
    check(lunik_machine_start(m, &err), &err);
    lunik_run(rt, LUNIK_RUN_DEFAULT);
    code = lunik_machine_exit_code(m);
    lunik_region_del(ram, NULL);
    lunik_region_unref(ram);
    lunik_machine_close(m);
    lunik_runtime_free(rt);
    printf("exit code %d\n", code);
    return code == 1 ? 0 : 1;
}
