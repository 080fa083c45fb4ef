/* pci_dma.c: the gates of a function's lunik_dmas follow its bus-master bit (PCI Local Bus 3.0,
 * section 6.2.2). */
#include <stdlib.h>

#include "pci.h"

struct lunik_pci_master {
    lunik_dma *dma;
    lunik_pci_master *next;
};

void pci_update_masters(lunik_pci_function *f)
{
    bool open = pci_may_master(f), changed = false;

    for (const lunik_pci_master *master = f->masters; master; master = master->next) {
        if (open == lunik_dma_enabled(master->dma))
            continue;
        changed = true;
        if (open)
            lunik_dma_enable(master->dma);
        else
            lunik_dma_disable(master->dma, NULL);
    }
    if (changed && f->mastering)
        f->mastering(f, open);
}

int lunik_pci_dma_new(lunik_pci_function *f, lunik_dma **out, lunik_error *err)
{
    LUNIK_NOT_NULL_OR_FAIL(f, err);
    LUNIK_NOT_NULL_OR_FAIL(out, err);
    LUNIK_REQUIRE_OR_FAIL(f->owner, "the function has no owner", err);

    lunik_space *memory = lunik_machine_memory(lunik_object_machine(f->owner));
    lunik_pci_master *master = calloc(1, sizeof *master);
    int rc;

    if (!master)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "pci: out of memory");
    rc = lunik_dma_new(memory, &master->dma, err);
    if (rc) {
        free(master);
        return rc;
    }
    master->next = f->masters;
    f->masters = master;
    pci_update_masters(f);
    *out = master->dma;
    return 0;
}

void lunik_pci_dma_free(lunik_pci_function *f, lunik_dma *d)
{
    LUNIK_NOT_NULL(f);

    for (lunik_pci_master **link = &f->masters; d && *link; link = &(*link)->next) {
        lunik_pci_master *master = *link;

        if (master->dma != d)
            continue;
        *link = master->next;
        free(master);
        lunik_dma_free(d);
        return;
    }
    LUNIK_REQUIRE(!d, "d is not one of the function's");
}
