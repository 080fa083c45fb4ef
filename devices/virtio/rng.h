/* rng.h: "rng": what a source of random bytes offers to virtio-rng. */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "lunik_device.h"

typedef struct lunik_rng_ops {
    /* Fills in at most size bytes, without waiting; returns how many, 0: there are none now. Any
     * thread, one at a time for each device. */
    size_t (*read)(lunik_object *o, void *buf, size_t size);
} lunik_rng_ops;
#define LUNIK_IFACE_rng "rng"
LUNIK_IFACE_GETTER(rng)

/* rng_builtin.c: bytes of the host's kernel. */
size_t rng_builtin_read(lunik_object *o, void *buf, size_t size);

#endif
