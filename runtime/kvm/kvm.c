/*
 * kvm.c: the VM and its in-kernel interrupt controllers.
 *
 * The interrupt controllers are created last. Creating them starts an SRCU grace period in KVM;
 * setting a memslot waits for its end (up to two ticks of the host's clock), so memslots are set
 * first.
 */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include "kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/confinement.h"
#include "vcpu.h"

enum { PIC_MASTER, PIC_SLAVE, IOAPIC, CHIP_COUNT };

struct irqchip_state {
    struct kvm_irqchip chip[CHIP_COUNT];
};

static int fail_open(int sys, lunik_error *err)
{
    switch (sys) {
    case ENOENT:
        return lunik_fail(err, LUNIK_E_NOT_FOUND,
                          "/dev/kvm does not exist: load the module kvm_intel or kvm_amd and check "
                          "that virtualization is enabled in the firmware (or use accel = "
                          "\"none\")");
    case ENODEV:
    case ENXIO:
        return lunik_fail(err, LUNIK_E_NOT_FOUND,
                          "/dev/kvm has no driver behind it: load the module kvm_intel or kvm_amd "
                          "(or use accel = \"none\")");
    case EACCES:
    case EPERM:
        return lunik_fail(
            err, LUNIK_E_DENIED,
            "/dev/kvm: permission denied: this user needs read and write access, e.g. "
            "membership in the group 'kvm' (or use accel = \"none\")");
    default:
        return lunik_fail_errno(err, sys, "/dev/kvm can't be opened");
    }
}

static int check_extension(struct kvm_vm *vm, int capability)
{
    int rc = ioctl(vm->dev_fd, KVM_CHECK_EXTENSION, capability);

    return rc < 0 ? 0 : rc;
}

static int check_host(struct kvm_vm *vm, lunik_error *err)
{
    static const struct {
        int capability;
        const char *name;
    } needed[] = {
        {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
        {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
        {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
        {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
        {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
        {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
        {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
        {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    };
    int version = ioctl(vm->dev_fd, KVM_GET_API_VERSION, 0);

    if (version < 0)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "/dev/kvm is not KVM's device: %s",
                          uv_strerror(-errno));
    if (version != KVM_API_VERSION)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "/dev/kvm: API version %d (want %d)", version,
                          KVM_API_VERSION);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!check_extension(vm, needed[i].capability))
            return lunik_fail(err, LUNIK_E_UNSUPPORTED, "/dev/kvm: this kernel lacks %s",
                              needed[i].name);
    return 0;
}

/* Returns the number of guest physical address bits: the host's, from CPUID. */
static unsigned find_phys_bits(void)
{
    unsigned eax, ebx, ecx, edx;

    __asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(0x80000000u), "c"(0));
    if (eax < 0x80000008u)
        return 36;
    __asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(0x80000008u), "c"(0));
    return eax & 0xff;
}

static void read_limits(struct kvm_vm *vm)
{
    vm->vcpu_map_size = ioctl(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    vm->max_slots = (unsigned)check_extension(vm, KVM_CAP_NR_MEMSLOTS);
    vm->max_routes = (unsigned)check_extension(vm, KVM_CAP_IRQ_ROUTING);
    vm->max_vcpus = (unsigned)check_extension(vm, KVM_CAP_MAX_VCPUS);
    vm->readonly_mem = check_extension(vm, KVM_CAP_READONLY_MEM) > 0;
    vm->phys_bits = find_phys_bits();
}

static int reserve_pages(struct kvm_vm *vm, lunik_error *err)
{
    uint64_t identity = KVM_IDENTITY_MAP_ADDRESS;

    if (ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0)
        return lunik_fail_errno(err, errno, "KVM: can't reserve its pages");
    return 0;
}

static int enable(const struct kvm_vm *vm, unsigned capability, uint64_t arg)
{
    struct kvm_enable_cap cap = {.cap = capability, .args = {arg}};

    return ioctl(vm->vm_fd, KVM_ENABLE_CAP, &cap) < 0 ? errno : 0;
}

/* KVM takes it once: EEXIST, where an earlier call has done it before it failed. */
static int split_irqchip(const struct kvm_vm *vm, lunik_error *err)
{
    int sys = enable(vm, KVM_CAP_SPLIT_IRQCHIP, LUNIK_GSI_COUNT);

    if (sys && sys != EEXIST)
        return lunik_fail_errno(err, sys, "KVM: can't create the local APICs alone");
    return 0;
}

/* Skips what an earlier call has created before it failed. */
static int create_irqchip(struct kvm_vm *vm, lunik_error *err)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

    if (vm->split)
        return split_irqchip(vm, err);

    if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0 && errno != EEXIST)
        return lunik_fail_errno(err, errno, "KVM: can't create the interrupt controllers");
    if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit) < 0 && errno != EEXIST)
        return lunik_fail_errno(err, errno, "KVM: can't create the timer");
    return 0;
}

/* Reads the controllers' power-on state, for resets. */
static int save_irqchip(struct kvm_vm *vm, struct irqchip_state *s, lunik_error *err)
{
    for (unsigned i = 0; !vm->split && i < CHIP_COUNT; i++) {
        s->chip[i].chip_id = i;
        if (ioctl(vm->vm_fd, KVM_GET_IRQCHIP, &s->chip[i]) < 0)
            return lunik_fail_errno(err, errno, "KVM: can't read the interrupt controllers");
    }
    return 0;
}

int kvm_vm_add_irqchip(lunik_machine *m, lunik_error *err)
{
    struct irqchip_state *s = calloc(1, sizeof(*s));
    struct kvm_vm *vm = m->kvm;
    int rc;

    if (!s)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    rc = create_irqchip(vm, err);
    if (!rc)
        rc = kvm_routes_set(m, err);
    if (!rc)
        rc = save_irqchip(vm, s, err);
    if (!rc)
        rc = kvm_clocks_save_power_on(vm, err);
    if (rc)
        free(s);
    else
        vm->power_on = s;
    return rc;
}

int kvm_vm_reset(struct kvm_vm *vm, uint16_t level_triggered, lunik_error *err)
{
    struct kvm_irqchip *chip = vm->power_on->chip;

    chip[PIC_MASTER].chip.pic.elcr = (uint8_t)level_triggered;
    chip[PIC_SLAVE].chip.pic.elcr = (uint8_t)(level_triggered >> 8);
    for (unsigned i = 0; !vm->split && i < CHIP_COUNT; i++)
        if (ioctl(vm->vm_fd, KVM_SET_IRQCHIP, &chip[i]) < 0)
            return lunik_fail_errno(err, errno, "KVM: can't reset the interrupt controllers");
    return 0;
}

static int enable_ring(struct kvm_vm *vm, const lunik_machine_config *config, lunik_error *err)
{
    enum { MIN_ENTRIES = 1024 };
    unsigned capability = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, entries = config->dirty_ring;
    int bytes = check_extension(vm, (int)capability), sys;
    unsigned max;

    if (bytes <= 0) {
        capability = KVM_CAP_DIRTY_LOG_RING;
        bytes = check_extension(vm, (int)capability);
    }
    if (bytes <= 0)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s': dirty-ring: this kernel's KVM has none (want 0)",
                          config->name);
    max = (unsigned)bytes / sizeof(struct kvm_dirty_gfn);
    if (entries & (entries - 1) || entries < MIN_ENTRIES || entries > max)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "machine '%s': dirty-ring: '%u' is not a number of entries (want a power "
                          "of two from %d to %u)",
                          config->name, entries, MIN_ENTRIES, max);
    sys = enable(vm, capability, entries * sizeof(struct kvm_dirty_gfn));
    if (sys)
        return lunik_fail_errno(err, sys, "machine '%s': dirty-ring: '%u': KVM refuses it",
                                config->name, entries);
    vm->dirty_ring = entries;
    return 0;
}

/* Chooses how writes are logged. */
static int setup_dirty_log(struct kvm_vm *vm, const lunik_machine_config *config, lunik_error *err)
{
    bool manual = config->dirty_log != LUNIK_DIRTY_LOG_BITMAP;

    if (config->dirty_ring)
        return enable_ring(vm, config, err);
    vm->dirty_manual =
        manual && check_extension(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) > 0 &&
        enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) == 0;
    if (config->dirty_log == LUNIK_DIRTY_LOG_MANUAL && !vm->dirty_manual)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s': dirty-log: this kernel lacks "
                          "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2",
                          config->name);
    return 0;
}

static int choose_irqchip(struct kvm_vm *vm, const lunik_machine_config *config, lunik_error *err)
{
    vm->split = config->irqchip == LUNIK_IRQCHIP_SPLIT;
    if (vm->split && check_extension(vm, KVM_CAP_SPLIT_IRQCHIP) <= 0)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "machine '%s': irqchip: this kernel lacks KVM_CAP_SPLIT_IRQCHIP (want "
                          "kernel)",
                          config->name);
    return 0;
}

static int create_vm(const struct kvm_vm *vm)
{
    return TEMP_FAILURE_RETRY(ioctl(vm->dev_fd, KVM_CREATE_VM, 0));
}

static void give_back(struct kvm_vm *vm)
{
    vcpus_free(vm->ended, vm);
    if (vm->vm_fd >= 0)
        close(vm->vm_fd);
    if (vm->dev_fd >= 0)
        close(vm->dev_fd);
    kvm_clocks_fini(vm);
    free(vm->power_on);
    free(vm);
}

int kvm_vm_new(struct kvm_vm **out, const lunik_machine_config *config, lunik_error *err)
{
    struct kvm_vm *vm = calloc(1, sizeof(*vm));
    int rc;

    if (!vm)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "KVM: out of memory");
    vm->vm_fd = -1;
    vm->dev_fd = kept_open(KEPT_KVM);
    if (vm->dev_fd < 0 && rcu_shortage_over(errno))
        vm->dev_fd = kept_open(KEPT_KVM);
    if (vm->dev_fd < 0) {
        rc = fail_open(errno, err);
        goto fail;
    }
    rc = check_host(vm, err);
    if (!rc)
        rc = kvm_clocks_init(vm, err);
    if (rc)
        goto fail;
    read_limits(vm);
    vm->vm_fd = create_vm(vm);
    if (vm->vm_fd < 0 && rcu_shortage_over(errno))
        vm->vm_fd = create_vm(vm);
    if (vm->vm_fd < 0) {
        rc = lunik_fail_errno(err, errno, "KVM: can't create a VM");
        goto fail;
    }
    rc = choose_irqchip(vm, config, err);
    if (!rc)
        rc = setup_dirty_log(vm, config, err);
    if (!rc)
        rc = reserve_pages(vm, err);
    if (rc)
        goto fail;
    *out = vm;
    return 0;
fail:
    give_back(vm);
    return rc;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* VMs whose release the reclaimer has not carried out yet. */
static _Atomic unsigned leaving;

static void reclaim(struct rcu_head *head)
{
    rcu_note_reclaim();
    give_back(lunik_container_of(head, struct kvm_vm, rcu));
    leaving--;
}

/* Whether the process has few descriptors left, so that the next open() may fail if vm's are closed
 * later. */
static bool descriptors_short(const struct kvm_vm *vm)
{
    enum { ENOUGH = 32 };
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    int lowest = fcntl(vm->dev_fd, F_DUPFD_CLOEXEC, 0);

    if (lowest < 0)
        return true;
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &limit);
    return (rlim_t)lowest + ENOUGH > limit.rlim_cur;
}

void kvm_vm_free(struct kvm_vm *vm)
{
    enum { MOST_LEAVING = 8 };

    if (!vm)
        return;
    if (leaving >= MOST_LEAVING || descriptors_short(vm) || rcu_reclaimers() < RCU_RECLAIMERS) {
        give_back(vm);
        return;
    }
    leaving++;
    rcu_defer_urgent(&vm->rcu, reclaim);
}
