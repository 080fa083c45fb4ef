/*
 * lunik_guest.c IMAGE [latency]: runs exits.S in a machine made of the C API, with devices written
 * in C: what exits cost without any Lua. With `latency` it measures how long it takes from the
 * return of KVM_RUN until a device's function is called, in ns; the linker sends the library's
 * ioctl() calls here for that.
 */
#include "bare.h"

#include <stdlib.h>
#include <string.h>

#include "lunik.h"
#include "lunik_device.h"
#include "must.h"

enum { SAMPLES = 4000 };

struct device {
    const char *name;
    uint64_t base, size;
    bool port;
    const lunik_io_ops *ops;
    bool eventfd, coalesced;
};

static bool timed;
static uint64_t returned; /* time at which KVM_RUN returned */

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    int rc = __real_ioctl(fd, request, arg);

    if (timed && request == KVM_RUN)
        returned = now_ns();
    return rc;
}

static void sample(const struct device *d)
{
    static unsigned count;

    if (timed && ++count % 8 == 0 && count / 8 < SAMPLES)
        report(d->name, (double)(now_ns() - returned));
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0xff;
    return LUNIK_ACCESS_OK;
}

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    sample(opaque);
    return LUNIK_ACCESS_OK;
}

static lunik_access on_report(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (!timed)
        putchar((int)value);
    return LUNIK_ACCESS_OK;
}

static lunik_machine *m;

static lunik_access on_end(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    lunik_machine_shutdown(m, "exit-device", 0);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops locked = {.read = on_read, .write = on_write};
static const lunik_io_ops lockless = {.read = on_read, .write = on_write, .lockless = true};
static const lunik_io_ops report_ops = {.write = on_report};
static const lunik_io_ops end_ops = {.write = on_end};

static const struct device devices[] = {
    {"pio-write", 0x80, 1, true, &locked, false, false},
    {"mmio-write", 0xfed00000, 0x400, false, &locked, false, false},
    {"pio-write-other", 0x5600, 1, true, &lockless, false, false},
    {"mmio-write-other", 0xe1000000, 4, false, &lockless, false, false},
    {"pio-ioeventfd", 0x5700, 1, true, &locked, true, false},
    {"mmio-ioeventfd", 0xe2000000, 4, false, &locked, true, false},
    {"pio-coalesced", 0x5800, 4, true, &locked, false, true},
    {"mmio-coalesced", 0xe3000000, 4, false, &locked, false, true},
    {"report", 0xe9, 1, true, &report_ops, false, false},
    {"end", 0xf4, 1, true, &end_ops, false, false},
};

static void add_device(const struct device *d)
{
    lunik_region_config config = {.kind = LUNIK_REGION_IO,
                                  .name = d->name,
                                  .size = d->size,
                                  .ops = d->ops,
                                  .opaque = (void *)(uintptr_t)d};
    lunik_ioeventfd_config event = {.size = (unsigned)d->size};
    lunik_ioeventfd *e;
    lunik_region *r;

    must(lunik_region_new(m, &config, &r, &err));
    if (d->eventfd)
        must(lunik_ioeventfd_new(r, &event, &e, &err));
    if (d->coalesced)
        must(lunik_region_coalesce(r, 0, d->size, &err));
    must(lunik_region_add(lunik_space_root(d->port ? lunik_machine_io(m) : lunik_machine_memory(m)),
                          d->base, r, 0, false, &err));
}

static void add_ram(uint64_t size)
{
    lunik_ram_config ram = {.name = "ram", .size = size, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    lunik_region *r;

    must(lunik_ram_new(&ram, &config.ram, &err));
    must(lunik_region_new(m, &config, &r, &err));
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, r, 0, false, &err));
}

static void add_uart(void)
{
    const lunik_field null[] = {LUNIK_FIELD_STRING("id", "null")};
    const lunik_field uart[] = {LUNIK_FIELD_STRING("id", "uart"), LUNIK_FIELD_UINT("iobase", 0x3f8),
                                LUNIK_FIELD_UINT("irq", 4), LUNIK_FIELD_STRING("chardev", "null")};

    must(lunik_object_add(m, "chardev-null", null, 1, NULL, &err));
    must(lunik_device_add(m, "serial16550", uart, 4, NULL, &err));
}

int main(int argc, char **argv)
{
    const lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_KVM, .cpus = 1};
    lunik_runtime *rt;

    timed = argc > 2 && strcmp(argv[2], "latency") == 0;
    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_machine_new(rt, &config, &m, &err));
    lunik_transaction_begin(m);
    add_ram(16 << 20);
    add_uart();
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        add_device(&devices[i]);
    must(lunik_transaction_commit(m, &err));
    must(lunik_boot_firmware(m, argv[1], &err));
    must(lunik_machine_start(m, &err));
    lunik_run(rt, LUNIK_RUN_DEFAULT);
    return fflush(stdout) != 0;
}
