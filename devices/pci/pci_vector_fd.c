/* pci_vector_fd.c: eventfds of vectors of MSI-X, or else MSI, for devices that work without the
 * machine lock. */
#include <stdlib.h>

#include "pci.h"

struct pci_vector {
    lunik_pci_function *f;
    unsigned index;
    lunik_msi_route *route; /* NULL: it has none */
};

static unsigned count_of(const lunik_pci_function *f)
{
    return f->msix_words ? f->msix_words / 4 : pci_msi_offered(f);
}

/* Returns whether the message of a vector would go out now, with it. */
static bool is_ready(const lunik_pci_function *f, unsigned vector, lunik_msi *msg)
{
    return f->msix_words ? pci_msix_ready(f, vector, msg) : pci_msi_ready(f, vector, msg);
}

/* A signal that KVM has not taken. */
static void signalled(void *opaque)
{
    const struct pci_vector *v = opaque;

    lunik_pci_vector_send(v->f, v->index);
}

void pci_vector_follow(lunik_pci_function *f, unsigned vector)
{
    lunik_msi_route *route = f->extra->vectors ? f->extra->vectors[vector].route : NULL;
    lunik_msi msg;

    if (route)
        lunik_msi_route_set(route, is_ready(f, vector, &msg) ? &msg : NULL);
}

void pci_vectors_follow(lunik_pci_function *f)
{
    for (unsigned i = 0; f->extra->vectors && i < count_of(f); i++)
        pci_vector_follow(f, i);
}

void pci_vectors_free(lunik_pci_function *f)
{
    for (unsigned i = 0; f->extra->vectors && i < count_of(f); i++)
        lunik_msi_route_free(f->extra->vectors[i].route);
    free(f->extra->vectors);
    f->extra->vectors = NULL;
}

static struct pci_vector *make_vectors(lunik_pci_function *f, lunik_error *err)
{
    struct pci_vector *vectors = f->extra->vectors;

    if (!vectors)
        vectors = calloc(count_of(f), sizeof *vectors);
    if (!vectors)
        lunik_fail(err, LUNIK_E_NO_MEMORY, "pci: vectors: out of memory");
    f->extra->vectors = vectors;
    return vectors;
}

int lunik_pci_vector_fd(lunik_pci_function *f, unsigned vector, lunik_error *err)
{
    struct pci_vector *vectors;

    if (!f) {
        lunik_misuse_fail(err, __func__, "f is NULL");
        return -1;
    }
    if (!f->extra || vector >= count_of(f)) {
        lunik_fail(err, LUNIK_E_INVALID, "pci: vector %u does not exist (there are %u)", vector,
                   count_of(f));
        return -1;
    }
    vectors = make_vectors(f, err);
    if (!vectors)
        return -1;
    vectors[vector].f = f;
    vectors[vector].index = vector;
    if (!vectors[vector].route &&
        lunik_msi_route_new(lunik_object_machine(f->owner), signalled, &vectors[vector],
                            &vectors[vector].route, err))
        return -1;
    pci_vector_follow(f, vector);
    return lunik_msi_route_fd(vectors[vector].route);
}
