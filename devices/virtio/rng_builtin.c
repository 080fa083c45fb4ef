/* rng_builtin.c: random bytes of the host's kernel. */
#include <sys/random.h>

#include "rng.h"
#include "../types.h"

size_t rng_builtin_read(lunik_object *o, void *buf, size_t size)
{
    ssize_t count = getrandom(buf, size, GRND_NONBLOCK);

    (void)o;
    return count > 0 ? (size_t)count : 0;
}

static const lunik_rng_ops rng_ops = {.read = rng_builtin_read};
static const lunik_iface ifaces[] = {LUNIK_IFACE(rng, &rng_ops), {0}};

const lunik_type rng_builtin_type = {
    .name = "rng-builtin",
    .doc = "Random bytes of the host's kernel, for virtio-rng-pci.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .ifaces = ifaces,
    .state = &lunik_state_none,
};
