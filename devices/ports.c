/* ports.c: see ports.h. */
#include "ports.h"

int device_region_new(lunik_region **out, lunik_object *o, lunik_region_config config,
                      lunik_error *err)
{
    config.owner = o;
    return lunik_region_new(lunik_object_machine(o), &config, out, err);
}

int device_ports_new(lunik_region **out, lunik_object *o, const char *name, uint64_t port,
                     uint64_t size, const lunik_io_ops *ops, void *opaque, lunik_error *err)
{
    lunik_region *io = lunik_space_root(lunik_machine_io(lunik_object_machine(o)));
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO,
        .name = name,
        .size = size,
        .ops = ops,
        .opaque = opaque,
    };
    int rc = device_region_new(out, o, config, err);

    if (rc)
        return rc;
    rc = lunik_region_add(io, port, *out, 0, false, err);
    if (rc) {
        device_region_drop(out);
        lunik_fail_prefix(err, rc, "%s", lunik_object_type_name(o));
    }
    return rc;
}

void device_region_drop(lunik_region **region)
{
    if (!*region)
        return;
    lunik_region_del(*region, NULL);
    lunik_region_unref(*region);
    *region = NULL;
}

void device_describe_isa(lunik_acpi_node *out, const char *part, const char *io_name,
                         uint64_t iobase, const char *irq_name, uint64_t irq)
{
    *out = (lunik_acpi_node){
        .part = part,
        .count = 2,
        .values = {{io_name, iobase}, {irq_name, irq}},
    };
}
