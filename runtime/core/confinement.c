/* confinement.c: hooks of the sandbox, and files kept open for it. */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

static _Atomic(const struct confinement *) confinement;

void confinement_set(const struct confinement *c)
{
    atomic_store(&confinement, c);
}

const char *confinement_denial(void)
{
    const struct confinement *c = atomic_load(&confinement);

    return c ? c->denial() : NULL;
}

void confinement_enter_vcpu(void)
{
    const struct confinement *c = atomic_load(&confinement);

    if (c)
        c->enter_vcpu();
}

/* ---- files ---------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    int flags;
    bool optional; /* not tried again if it could not be opened before the sandbox */
} files[KEPT_COUNT] = {
    [KEPT_KVM] = {"/dev/kvm", O_RDWR, false},
    [KEPT_MEMINFO] = {"/proc/meminfo", O_RDONLY, true},
};

static int kept[KEPT_COUNT] = {-1, -1};
static bool keeping;

static int open_file(enum kept_file which)
{
    return TEMP_FAILURE_RETRY(open(files[which].path, files[which].flags | O_CLOEXEC));
}

int kept_open(enum kept_file which)
{
    if (kept[which] >= 0)
        return fcntl(kept[which], F_DUPFD_CLOEXEC, 0);
    return keeping && files[which].optional ? -1 : open_file(which);
}

void kept_keep_open(void)
{
    for (unsigned i = 0; i < KEPT_COUNT; i++)
        if (kept[i] < 0)
            kept[i] = open_file((enum kept_file)i);
    keeping = true;
}
