/*
 * populate.c: blocks of which the guest may use only parts, as their owner says, and those who have
 * to know. All with the machine lock.
 */
#include <inttypes.h>

#include "core/misuse.h"
#include "ram.h"

static bool is_within(const lunik_ram *ram, uint64_t offset, uint64_t size)
{
    return size && offset <= ram->size && size <= ram->size - offset;
}

bool lunik_ram_populated(const lunik_ram *ram, uint64_t *offset, uint64_t *size)
{
    NOT_NULL(ram, false);
    NOT_NULL(offset, false);
    NOT_NULL(size, false);

    if (*offset >= ram->size)
        return false;
    if (ram->populate)
        return ram->populate->next(ram->populate, offset, size);
    *size = ram->size - *offset;
    return true;
}

int lunik_ram_set_manager(lunik_ram *ram, lunik_populate_manager *manager, lunik_error *err)
{
    NOT_NULL_OR_FAIL(ram, err);

    if (manager && ram->populate)
        return lunik_fail(err, LUNIK_E_EXISTS, "%s: its parts are managed already", ram->name);
    if (!LIST_EMPTY(&ram->populate_listeners))
        return lunik_fail(err, LUNIK_E_BUSY, "%s: it is used as a whole", ram->name);
    ram->populate = manager;
    return 0;
}

/* Undoes what those before `end` have agreed to. */
static void take_back(lunik_ram *ram, const lunik_populate_listener *end, uint64_t offset,
                      uint64_t size)
{
    lunik_populate_listener *l;

    LIST_FOREACH (l, &ram->populate_listeners, link) {
        if (l == end)
            break;
        if (l->discard)
            l->discard(l, ram, offset, size);
    }
}

int lunik_ram_populate(lunik_ram *ram, uint64_t offset, uint64_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(ram, err);
    REQUIRE_OR_FAIL(is_within(ram, offset, size), "the part is not within the block", err);

    lunik_populate_listener *l;
    int rc = 0;

    LIST_FOREACH (l, &ram->populate_listeners, link) {
        rc = l->populate ? l->populate(l, ram, offset, size, err) : 0;
        if (rc)
            break;
    }
    if (rc)
        take_back(ram, l, offset, size);
    return rc;
}

void lunik_ram_depopulate(lunik_ram *ram, uint64_t offset, uint64_t size)
{
    NOT_NULL(ram);
    REQUIRE(is_within(ram, offset, size), "the part is not within the block");

    take_back(ram, NULL, offset, size);
}

int lunik_populate_listener_add(lunik_ram *ram, lunik_populate_listener *l, lunik_error *err)
{
    NOT_NULL_OR_FAIL(ram, err);
    NOT_NULL_OR_FAIL(l, err);

    uint64_t offset = 0, size;
    int rc = 0;

    for (; !rc && lunik_ram_populated(ram, &offset, &size); offset += size)
        rc = l->populate ? l->populate(l, ram, offset, size, err) : 0;
    if (rc) {
        if (l->discard)
            l->discard(l, ram, 0, ram->size);
        return rc;
    }
    l->ram = ram;
    lunik_ram_ref(ram);
    LIST_INSERT_HEAD(&ram->populate_listeners, l, link);
    return 0;
}

void lunik_populate_listener_del(lunik_populate_listener *l)
{
    NOT_NULL(l);

    lunik_ram *ram = l->ram;

    if (!ram)
        return;
    LIST_REMOVE(l, link);
    l->ram = NULL;
    if (l->discard)
        l->discard(l, ram, 0, ram->size);
    lunik_ram_unref(ram);
}
