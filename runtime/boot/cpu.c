/* cpu.c: the first vCPU's registers at the entry of a kernel. */
#include <linux/kvm.h>

#include "boot.h"
#include "kvm/vcpu.h"

#define CR0_PE   0x1u
#define CR0_ET   0x10u
#define CR0_PG   0x80000000u
#define CR4_PAE  0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

/* Segment types. */
#define CODE     0xb /* execute, read, accessed */
#define DATA     0x3 /* read, write, accessed */
#define BUSY_TSS 0xb

/* Selectors if the boot protocol does not require others. */
#define FLAT_CS 0x08
#define FLAT_DS 0x10

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool long_mode)
{
    return (struct kvm_segment){
        .base = 0,
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = !long_mode,
        .s = 1,
        .l = long_mode,
        .g = 1,
    };
}

static void set_segments(struct kvm_sregs *s, const struct boot_cpu *cpu)
{
    struct kvm_segment data = flat(cpu->ds ? cpu->ds : FLAT_DS, DATA, false);

    s->cs = flat(cpu->cs ? cpu->cs : FLAT_CS, CODE, cpu->long_mode);
    s->ds = s->es = s->fs = s->gs = s->ss = data;
    s->tr = (struct kvm_segment){.limit = 0x67, .type = BUSY_TSS, .present = 1};
}

/* Paragraph and offset, as ACPI 6.4 has them in 5.2.10 for the waking vector. */
static void enter_real_mode(struct kvm_regs *regs, struct kvm_sregs *sregs, uint64_t address)
{
    regs->rip = address & 0xf;
    sregs->cs.selector = (uint16_t)(address >> 4);
    sregs->cs.base = address & ~UINT64_C(0xf);
}

static void enter_protected_mode(struct kvm_sregs *sregs, const struct boot_cpu *cpu)
{
    set_segments(sregs, cpu);
    sregs->cr0 = CR0_PE | CR0_ET;
    sregs->cr3 = 0;
    sregs->cr4 = 0;
    sregs->efer = 0;
    if (cpu->gdt) {
        sregs->gdt.base = cpu->gdt;
        sregs->gdt.limit = cpu->gdt_limit;
    }
    if (cpu->long_mode) {
        sregs->cr0 |= CR0_PG;
        sregs->cr3 = cpu->cr3;
        sregs->cr4 = CR4_PAE;
        sregs->efer = EFER_LME | EFER_LMA;
    }
}

int boot_cpu_apply(lunik_machine *m, const struct boot_cpu *cpu, lunik_error *err)
{
    struct kvm_regs regs = {
        .rip = cpu->rip, .rax = cpu->rax, .rbx = cpu->rbx, .rsi = cpu->rsi, .rflags = 0x2};
    struct kvm_sregs sregs;
    int rc;

    if (lunik_machine_accel(m) == LUNIK_ACCEL_NONE)
        return 0;
    rc = vcpu_get_reset_sregs(m, &sregs, err);
    if (rc)
        return rc;
    if (cpu->real_mode)
        enter_real_mode(&regs, &sregs, cpu->rip);
    else
        enter_protected_mode(&sregs, cpu);
    return vcpu_set_boot_state(m, &regs, &sregs, err);
}
