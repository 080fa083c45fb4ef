/* ports.c: what most devices do with their regions. */
#include "ports.h"

int device_ports_new(lunik_region **out, void *state, const char *name, uint64_t port,
                     uint64_t size, const lunik_io_ops *ops, lunik_error *err)
{
    lunik_object *o = lunik_state_object(state);
    lunik_machine *m = lunik_object_machine(o);
    lunik_region_config config = {.kind = LUNIK_REGION_IO,
                                  .name = name,
                                  .size = size,
                                  .owner = o,
                                  .ops = ops,
                                  .opaque = state};
    int rc = lunik_region_new(m, &config, out, err);

    if (rc < 0)
        return rc;
    rc = lunik_region_add(lunik_space_root(lunik_machine_io(m)), port, *out, 0, false, err);
    if (rc < 0) {
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
