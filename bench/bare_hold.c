/*
 * bare_hold.c CPUS: the shortest way to replace a memslot while vCPUs read from it: two ioctls; a
 * vCPU that meets the hole between them exits and enters again. Microseconds.
 */
#include "bare.h"
#include "hold.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Runs until the process ends. */
static void *run(void *arg)
{
    int vcpu = *(int *)arg;

    for (;;)
        if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN)
            die("KVM_RUN");
}

static void set_slot(int vm, unsigned id, uint64_t address, void *host, uint64_t size,
                     unsigned flags)
{
    struct kvm_userspace_memory_region slot = {.slot = id,
                                               .flags = flags,
                                               .guest_phys_addr = address,
                                               .memory_size = size,
                                               .userspace_addr = (uintptr_t)host};

    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        die("KVM_SET_USER_MEMORY_REGION");
}

static void start(struct bare *b, unsigned cpus)
{
    static int vcpus[4];
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    pthread_t thread;

    vcpus[0] = b->vcpu;
    for (unsigned i = 0; i < cpus; i++) {
        if (i)
            vcpus[i] = ioctl(b->vm, KVM_CREATE_VCPU, i);
        if (vcpus[i] < 0 || ioctl(vcpus[i], KVM_SET_MP_STATE, &runnable) < 0)
            die("KVM_CREATE_VCPU");
        if (pthread_create(&thread, NULL, run, &vcpus[i]))
            die("pthread_create");
    }
}

static void measure(unsigned cpus)
{
    static const uint8_t loop[] = HOLD_LOOP;
    uint8_t *code = bare_map(HOLD_PAGE), *data = bare_map(HOLD_PAGE);
    char name[16];
    struct bare b;

    bare_open(&b);
    memcpy(code + 0xff0, loop, sizeof(loop));
    set_slot(b.vm, 0, HOLD_CODE, code, HOLD_PAGE, 0);
    set_slot(b.vm, 1, HOLD_DATA, data, HOLD_PAGE, 0);
    start(&b, cpus);
    usleep(10000);
    snprintf(name, sizeof(name), "hold-%u", cpus);
    for (unsigned i = 0; i < HOLD_TURNS; i++) {
        uint64_t before = now_ns();

        set_slot(b.vm, 1, HOLD_DATA, data, 0, 0);
        set_slot(b.vm, 1, HOLD_DATA, data, HOLD_PAGE, i % 2 ? 0 : KVM_MEM_READONLY);
        report(name, (double)(now_ns() - before) / 1000);
    }
}

int main(int argc, char **argv)
{
    measure((unsigned)atoi(argv[1]));
    return 0;
}
