/* vcpu_reset.c: saves the state of vCPUs after power-on, and restores it at a reset. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "vcpu_internal.h"

/* AMD's hardware configuration register. TscFreqSel says that the TSC counts at the P0 frequency:
 * one after reset on hardware (PPR, "Core::X86::Msr::HWCR"), zero in KVM. */
enum { MSR_HWCR_INDEX = 0xc0010015u, HWCR_TSC_FREQ_SEL = 1 << 24 };

enum { MSR_TSC_INDEX = 0x10 };

/* MSRs that a guest can write and KVM_GET_MSR_INDEX_LIST does not name, except those that a reset
 * does not change (SDM vol. 3A, table 10-1): the machine check banks, 0x400 and up. */
static const struct {
    uint32_t first, last;
} unlisted[] = {
    {0x8c, 0x8f},   /* SGX launch key hash */
    {0x1d9, 0x1d9}, /* DEBUGCTL */
    {0x200, 0x20f}, /* MTRRs: variable ranges */
    {0x250, 0x250},
    {0x258, 0x259},
    {0x268, 0x26f},             /* fixed ranges */
    {0x2ff, 0x2ff},             /* default type */
    {0xc0010114u, 0xc0010114u}, /* VM_CR */
    {0xc0010140u, 0xc0010141u}, /* OS visible workarounds */
    {0xc0011029u, 0xc0011029u}, /* DE_CFG */
};

struct vcpu_power_on {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    struct kvm_nested_state nested;
    bool has_xcrs, has_nested;
    struct kvm_msrs *msrs;
};

struct msr_batch {
    struct kvm_msrs head;
    struct kvm_msr_entry entries[VCPU_MSRS_MOST];
};

static void list_unlisted(struct kvm_msrs *msrs)
{
    for (size_t i = 0; i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
        for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++)
            if (msrs->nmsrs < VCPU_MSRS_MOST)
                msrs->entries[msrs->nmsrs++].index = index;
}

/* Lists the MSRs that a reset changes, without values. */
static int list_msrs(lunik_vcpu *v, struct kvm_msrs *msrs, lunik_error *err)
{
    struct kvm_msr_list *list =
        calloc(1, sizeof(*list) + VCPU_MSRS_MOST * sizeof(list->indices[0]));
    int rc = 0;

    if (!list)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "vCPU %u: out of memory", v->index);
    list->nmsrs = VCPU_MSRS_MOST;
    if (ioctl(v->machine->kvm->dev_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
        rc = lunik_fail_errno(err, errno, "KVM: vCPU %u: can't list its MSRs", v->index);
    for (uint32_t i = 0; !rc && i < list->nmsrs; i++)
        if (list->indices[i] != MSR_TSC_INDEX || !kvm_clocks_own_tsc(v))
            msrs->entries[msrs->nmsrs++].index = list->indices[i];
    list_unlisted(msrs);
    free(list);
    return rc;
}

/* Reads the listed MSRs. KVM_GET_MSRS stops at the first that can't be read, which is left out. */
static void read_msrs(lunik_vcpu *v, struct kvm_msrs *msrs)
{
    struct msr_batch batch;
    uint32_t listed = msrs->nmsrs, next = 0;

    msrs->nmsrs = 0;
    while (next < listed) {
        int count;

        batch.head = (struct kvm_msrs){.nmsrs = listed - next};
        memcpy(batch.entries, &msrs->entries[next], batch.head.nmsrs * sizeof(batch.entries[0]));
        count = ioctl(v->fd, KVM_GET_MSRS, &batch);
        count = count > 0 ? count : 0;
        memcpy(&msrs->entries[msrs->nmsrs], batch.entries,
               (size_t)count * sizeof(batch.entries[0]));
        msrs->nmsrs += (uint32_t)count;
        next += (uint32_t)count + 1;
    }
}

static int save_msrs(lunik_vcpu *v, struct kvm_msrs *msrs, lunik_error *err)
{
    int rc = list_msrs(v, msrs, err);

    if (rc)
        return rc;
    read_msrs(v, msrs);
    for (uint32_t i = 0; i < msrs->nmsrs; i++)
        if (msrs->entries[i].index == MSR_HWCR_INDEX)
            msrs->entries[i].data |=
                HWCR_TSC_FREQ_SEL; /* kernels that know no such bit refuse it */
    return 0;
}

/* Returns false if KVM has no nested virtualization. */
static bool read_nested(const lunik_vcpu *v, struct kvm_nested_state *s)
{
    s->size = sizeof(*s);
    return ioctl(v->fd, KVM_GET_NESTED_STATE, s) == 0;
}

static int save_state(lunik_vcpu *v, struct vcpu_power_on *p, lunik_error *err)
{
    if (ioctl(v->fd, KVM_GET_REGS, &p->regs) < 0 || ioctl(v->fd, KVM_GET_SREGS, &p->sregs) < 0 ||
        ioctl(v->fd, KVM_GET_XSAVE, &p->xsave) < 0 ||
        ioctl(v->fd, KVM_GET_DEBUGREGS, &p->debugregs) < 0 ||
        ioctl(v->fd, KVM_GET_LAPIC, &p->lapic) < 0 ||
        ioctl(v->fd, KVM_GET_VCPU_EVENTS, &p->events) < 0 ||
        ioctl(v->fd, KVM_GET_MP_STATE, &p->mp_state) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: can't read its state", v->index);
    p->has_xcrs = ioctl(v->fd, KVM_GET_XCRS, &p->xcrs) == 0;
    p->has_nested = read_nested(v, &p->nested);
    return save_msrs(v, p->msrs, err);
}

int vcpu_save_power_on(lunik_vcpu *v, lunik_error *err)
{
    struct vcpu_power_on *p = calloc(1, sizeof(*p));
    int rc;

    if (p)
        p->msrs = calloc(1, sizeof(*p->msrs) + VCPU_MSRS_MOST * sizeof(p->msrs->entries[0]));
    if (!p || !p->msrs)
        rc = lunik_fail(err, LUNIK_E_NO_MEMORY, "vCPU %u: out of memory", v->index);
    else
        rc = save_state(v, p, err);
    v->power_on = p;
    if (rc)
        vcpu_free_power_on(v);
    return rc;
}

void vcpu_free_power_on(lunik_vcpu *v)
{
    if (v->power_on)
        free(v->power_on->msrs);
    free(v->power_on);
    v->power_on = NULL;
}

const struct kvm_msrs *vcpu_power_on_msrs(const lunik_vcpu *v)
{
    return v->power_on->msrs;
}

/* Finds the MSRs that have changed since power-on, with their values then. Only these are written:
 * KVM reports some writes in the kernel's log even if they change nothing. */
static void find_changed(lunik_vcpu *v, struct msr_batch *out)
{
    const struct kvm_msrs *all = v->power_on->msrs;
    struct msr_batch now = {.head.nmsrs = all->nmsrs};
    int count;

    memcpy(now.entries, all->entries, all->nmsrs * sizeof(now.entries[0]));
    count = ioctl(v->fd, KVM_GET_MSRS, &now);
    out->head = (struct kvm_msrs){0};
    for (uint32_t i = 0; i < all->nmsrs; i++)
        if ((int)i >= count || now.entries[i].data != all->entries[i].data)
            out->entries[out->head.nmsrs++] = all->entries[i];
}

/* Restores the MSRs that have changed. KVM_SET_MSRS stops at the first that it refuses (some are
 * read-only), which is skipped. Returns 0, or -1 with errno set. */
static int restore_msrs(lunik_vcpu *v)
{
    struct msr_batch changed;
    uint32_t done = 0;

    find_changed(v, &changed);
    while (done < changed.head.nmsrs) {
        struct msr_batch batch = {.head.nmsrs = changed.head.nmsrs - done};
        int accepted;

        memcpy(batch.entries, &changed.entries[done], batch.head.nmsrs * sizeof(batch.entries[0]));
        accepted = ioctl(v->fd, KVM_SET_MSRS, &batch);
        if (accepted < 0)
            return -1;
        done += (uint32_t)accepted;
        if (done < changed.head.nmsrs)
            done++;
    }
    return 0;
}

int vcpu_leave_nested(lunik_vcpu *v)
{
    struct vcpu_power_on *p = v->power_on;

    return p->has_nested ? ioctl(v->fd, KVM_SET_NESTED_STATE, &p->nested) : 0;
}

static int reset_vcpu(lunik_vcpu *v, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
                      lunik_error *err)
{
    struct vcpu_power_on *p = v->power_on;
    struct kvm_sregs s = *sregs;
    struct kvm_regs r = *regs;

    if (vcpu_leave_nested(v) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: its nested guest can't be ended",
                                v->index);
    if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0)
        return lunik_fail_errno(err, errno,
                                "KVM: vCPU %u: the special registers of its reset state are "
                                "refused",
                                v->index);
    if (restore_msrs(v) < 0 || ioctl(v->fd, KVM_SET_REGS, &r) < 0 ||
        ioctl(v->fd, KVM_SET_XSAVE, &p->xsave) < 0 ||
        (p->has_xcrs && ioctl(v->fd, KVM_SET_XCRS, &p->xcrs) < 0) ||
        ioctl(v->fd, KVM_SET_DEBUGREGS, &p->debugregs) < 0 ||
        ioctl(v->fd, KVM_SET_LAPIC, &p->lapic) < 0 ||
        ioctl(v->fd, KVM_SET_VCPU_EVENTS, &p->events) < 0 ||
        ioctl(v->fd, KVM_SET_MP_STATE, &p->mp_state) < 0)
        return lunik_fail_errno(err, errno, "KVM: vCPU %u: its reset state is refused", v->index);
    vcpu_set_extint(v, NO_EXTINT);
    return 0;
}

int vcpu_restore_power_on(lunik_vcpu *v, lunik_error *err)
{
    return reset_vcpu(v, &v->power_on->regs, &v->power_on->sregs, err);
}

int vcpus_reset(lunik_machine *m, lunik_error *err)
{
    struct vcpu_group *g = m->vcpus;
    int rc;

    if (!g) {
        gsi_show_high(m);
        return 0;
    }
    rc = kvm_vm_reset(m->kvm, lunik_machine_elcr(m), err);
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(g, v));)
        rc = v->index == 0 && g->has_boot_state ? reset_vcpu(v, &g->boot_regs, &g->boot_sregs, err)
                                                : vcpu_restore_power_on(v, err);
    if (!rc)
        rc = kvm_clocks_reset(m, err);
    if (!rc)
        gsi_show_high(m);
    return rc;
}

int vcpu_set_boot_state(lunik_machine *m, const struct kvm_regs *regs,
                        const struct kvm_sregs *sregs, lunik_error *err)
{
    struct vcpu_group *g = m->vcpus;

    if (!g)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "machine '%s' has no vCPUs", m->name);
    g->has_boot_state = regs && sregs;
    if (g->has_boot_state) {
        g->boot_regs = *regs;
        g->boot_sregs = *sregs;
    }
    return 0;
}

int vcpu_get_reset_sregs(lunik_machine *m, struct kvm_sregs *sregs, lunik_error *err)
{
    if (!m->vcpus)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "machine '%s' has no vCPUs", m->name);
    *sregs = m->vcpus->vcpu[0].power_on->sregs;
    return 0;
}
