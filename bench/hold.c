/*
 * hold.c CPUS: a commit that replaces a memslot from which vCPUs read all the time, so that they
 * have to be kept out of the guest meanwhile. Microseconds.
 */
#include "hold.h"
#include "bare.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/vcpu_internal.h"
#include "lunik.h"
#include "lunik_device.h"
#include "must.h"

static lunik_machine *m;

/* The other vCPUs are never started. */
static void on_reset(void *opaque)
{
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};

    for (unsigned i = 0; i < lunik_vcpu_count(m); i++)
        if (ioctl(lunik_vcpu_get(m, i)->fd, KVM_SET_MP_STATE, &runnable) < 0)
            die("KVM_SET_MP_STATE");
}

static lunik_reset_sub resets = {.fn = on_reset};

static lunik_region *add_ram(const char *name, uint64_t address)
{
    lunik_ram_config backing = {.name = name, .size = HOLD_PAGE, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = name};
    lunik_region *r;

    must(lunik_ram_new(&backing, &config.ram, &err));
    must(lunik_region_new(m, &config, &r, &err));
    lunik_ram_unref(config.ram);
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), address, r, 0, false, &err));
    return r;
}

int main(int argc, char **argv)
{
    static const uint8_t loop[] = HOLD_LOOP;
    lunik_machine_config config = {.name = "bench", .accel = LUNIK_ACCEL_KVM};
    lunik_runtime *rt;
    lunik_region *data;
    char name[16];

    config.cpus = (unsigned)atoi(argv[1]);
    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    must(lunik_machine_new(rt, &config, &m, &err));
    memcpy((uint8_t *)lunik_ram_host(lunik_region_ram(add_ram("code", HOLD_CODE))) + 0xff0, loop,
           sizeof(loop));
    data = add_ram("data", HOLD_DATA);
    lunik_reset_subscribe(m, &resets);
    must(lunik_machine_start(m, &err));
    lunik_run_timeout(rt, 10);
    snprintf(name, sizeof(name), "hold-%u", config.cpus);
    for (unsigned i = 0; i < HOLD_TURNS; i++) {
        uint64_t before = now_ns();

        must(lunik_region_set_readonly(data, i % 2 == 0, &err));
        report(name, (double)(now_ns() - before) / 1000);
        lunik_run_timeout(rt, 0); /* hands the lock to threads that wait for it */
    }
    lunik_machine_close(m);
    lunik_runtime_free(rt);
    return 0;
}
