/*
 * test_irqchip_split.c: what is asked of KVM where it has only the local APICs: messages and routes
 * of the I/O APIC, ends of interrupts, external interrupts of the 8259As. KVM is played by a
 * function here: the linker sends the library's calls of ioctl() to it.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/kvm.h"
#include "kvm/vcpu_internal.h"
#include "check.h"

enum { KVM_FD = -77, VCPU_FD = -78 };

static lunik_error err;

/* ---- KVM ------------------------------------------------------------------------------------ */

static struct {
    struct kvm_enable_cap cap;
    unsigned created, chips; /* calls that make or reach KVM's own */
    unsigned routings, messages, lines, signals, vectors;
    struct kvm_irq_routing_entry entry[LUNIK_GSI_COUNT];
    unsigned entries;
    uint32_t signal; /* data of the last message */
    uint32_t vector; /* the last external interrupt */
    bool full;       /* it has one already */
} kvm;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static void set_routing(const struct kvm_irq_routing *table)
{
    kvm.routings++;
    kvm.entries = table->nr;
    for (unsigned i = 0; i < table->nr && i < LUNIK_GSI_COUNT; i++)
        kvm.entry[i] = table->entries[i];
}

static int interrupt(const struct kvm_interrupt *arg)
{
    if (kvm.full) {
        errno = EEXIST;
        return -1;
    }
    kvm.vectors++;
    kvm.vector = arg->irq;
    kvm.full = true;
    return 0;
}

/* The first has 1 in its registers, the second 2. */
static void get_chip(struct kvm_irqchip *chip)
{
    uint8_t number = (uint8_t)(chip->chip_id + 1);

    if (chip->chip_id < 2) {
        chip->chip.pic = (struct kvm_pic_state){
            .irr = number, .imr = number, .isr = number, .elcr = number, .irq_base = 8 * number};
        return;
    }
    chip->chip.ioapic.id = 5;
    chip->chip.ioapic.redirtbl[23].bits = UINT64_C(0x0700000000010039);
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (fd != KVM_FD && fd != VCPU_FD)
        return __real_ioctl(fd, request, argument);
    switch (request) {
    case KVM_ENABLE_CAP:
        kvm.cap = *(struct kvm_enable_cap *)argument;
        break;
    case KVM_CREATE_IRQCHIP:
    case KVM_CREATE_PIT2:
        kvm.created++;
        break;
    case KVM_GET_IRQCHIP:
        get_chip(argument);
        kvm.chips++;
        break;
    case KVM_SET_IRQCHIP:
    case KVM_GET_PIT2:
    case KVM_SET_PIT2:
        kvm.chips++;
        break;
    case KVM_IRQ_LINE:
        kvm.lines++;
        break;
    case KVM_SET_GSI_ROUTING:
        set_routing(argument);
        break;
    case KVM_SIGNAL_MSI:
        kvm.signals++;
        kvm.signal = ((struct kvm_msi *)argument)->data;
        break;
    case KVM_INTERRUPT:
        return interrupt(argument);
    default:
        break;
    }
    return 0;
}

/* ---- a machine that takes it for its own ---------------------------------------------------- */

static struct kvm_vm vm = {.dev_fd = -1, .vm_fd = KVM_FD, .max_routes = 64, .split = true};
static struct kvm_run run;
static struct vcpu_group *group;
static lunik_vcpu *vcpu;
static lunik_runtime *rt;
static lunik_machine *m;

static void make_vcpu(void)
{
    group = calloc(1, sizeof(*group) + sizeof(group->vcpu[0]));
    if (!group)
        abort();
    group->machine = m;
    group->count = 1;
    pthread_mutex_init(&group->mutex, NULL);
    pthread_cond_init(&group->changed, NULL);
    vcpu = &group->vcpu[0];
    *vcpu = (lunik_vcpu){.machine = m, .fd = VCPU_FD, .run = &run, .extint = NO_EXTINT};
    m->vcpus = group;
}

static void add(const char *type)
{
    if (!lunik_device_add(m, type, NULL, 0, NULL, &err))
        return;
    printf("not ok %s: %s\n", type, err.message);
    exit(1);
}

static void out(uint16_t port, uint8_t value)
{
    lunik_space_store(lunik_machine_io(m), port, 1, value);
}

static void redirect(unsigned pin, uint32_t entry)
{
    lunik_space_store(lunik_machine_memory(m), 0xfec00000, 4, 0x10 + 2 * pin);
    lunik_space_store(lunik_machine_memory(m), 0xfec00010, 4, entry);
}

static const struct kvm_irq_routing_entry *route(unsigned gsi)
{
    for (unsigned i = 0; i < kvm.entries; i++)
        if (kvm.entry[i].gsi == gsi)
            return &kvm.entry[i];
    return NULL;
}

/* The guest has ended an interrupt. */
static void end(uint8_t vector)
{
    run.exit_reason = KVM_EXIT_IOAPIC_EOI;
    run.eoi.vector = vector;
    lunik_unlock(rt);
    vcpu_handle_exit(vcpu, 0, 0);
    lunik_lock(rt);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_creation(lunik_irq *early)
{
    redirect(9, 0x8039);
    lunik_irq_set(early, true);
    check_uint("before the first start nothing is asked for", kvm.routings + kvm.signals, 0);
    redirect(9, 0x10000);
    check_int("created", kvm_vm_add_irqchip(m, &err), 0);
    check_uint("a capability", kvm.cap.cap, KVM_CAP_SPLIT_IRQCHIP);
    check_uint("  with as many pins as there are lines", kvm.cap.args[0], LUNIK_GSI_COUNT);
    check_uint("no chips in KVM", kvm.created + kvm.chips, 0);
    check_uint("a table", kvm.routings, 1);
    check_uint("  without pins", kvm.entries, 0);
    check_int("reset", kvm_vm_reset(&vm, 0xc00, &err), 0);
    kvm_clocks_stop(m);
    check_int("clocks", kvm_clocks_start(m, &err), 0);
    check_uint("still none", kvm.chips, 0);
    lunik_irq_set(early, false);
}

static void test_messages(lunik_irq *line)
{
    unsigned before = kvm.routings;

    redirect(9, 0x8039);
    check_uint("unmasked: a table", kvm.routings, before + 1);
    check_true("  with its message", route(9) && route(9)->type == KVM_IRQ_ROUTING_MSI &&
                                         route(9)->u.msi.address_lo == 0xfee00000 &&
                                         route(9)->u.msi.data == 0x8039);
    redirect(2, 0x30);
    check_true("the timer's input is line 0", route(0) && route(0)->u.msi.data == 0x30);
    check_true("  and line 2 is none", !route(2));
    lunik_irq_set(line, true);
    check_uint("a line: a message", kvm.signals, 1);
    check_uint("  its data", kvm.signal, 0x8039);
    check_uint("  and no pin", kvm.lines, 0);
    end(0x38);
    check_uint("the end of another vector", kvm.signals, 1);
    end(0x39);
    check_uint("the end: it is still high", kvm.signals, 2);
    lunik_irq_set(line, false);
    end(0x39);
    check_uint("the end: it is low", kvm.signals, 2);
    redirect(9, 0x18039);
    check_true("masked: no route", !route(9));
}

static void init_pic(void)
{
    out(0x20, 0x11);
    out(0x21, 0x20);
    out(0x21, 4);
    out(0x21, 1);
    out(0xa0, 0x11);
    out(0xa1, 0x28);
    out(0xa1, 2);
    out(0xa1, 1);
}

/* The vCPU's thread before an entry. */
static void offer(bool ready)
{
    run.ready_for_interrupt_injection = ready;
    lunik_unlock(rt);
    vcpu_offer_extint(vcpu);
    lunik_lock(rt);
}

/* After KVM_RUN: the guest has taken the vector, or not. */
static void leave(bool taken)
{
    kvm.full = !taken;
    run.if_flag = !taken;
    run.ready_for_interrupt_injection = 0;
    vcpu_note_extint(vcpu);
}

static void test_external(lunik_irq *line)
{
    init_pic();
    offer(true);
    check_uint("nothing asks", kvm.vectors + run.request_interrupt_window, 0);
    lunik_irq_set(line, true);
    check_true("INTR came after that", vcpu_extint_came(vcpu));
    offer(false);
    check_uint("the guest can't take it: no vector", kvm.vectors, 0);
    check_uint("  but an exit when it can", run.request_interrupt_window, 1);
    check_true("  and it may enter", !vcpu_extint_came(vcpu));
    offer(true);
    check_uint("it can: a vector", kvm.vectors, 1);
    check_uint("  that of line 5", kvm.vector, 0x25);
    check_uint("  and no other asks", run.request_interrupt_window, 0);
    leave(false);
    check_uint("kicked before it has taken it: kept", vcpu->extint, 0x25);
    offer(false);
    check_uint("  and not given twice", kvm.vectors, 1);
    leave(true);
    check_uint("taken", vcpu->extint, NO_EXTINT);
    lunik_irq_set(line, false);
    out(0x20, 0x20);
}

static void test_refused(lunik_irq *line)
{
    kvm.full = true;
    lunik_irq_set(line, true);
    offer(true);
    check_uint("KVM has another one: kept", vcpu->extint, 0x25);
    check_uint("  and an exit asked for when it can be given", run.request_interrupt_window, 1);
    kvm.full = false;
    offer(false);
    check_uint("given before the next entry", kvm.vectors, 2);
    leave(true);
    lunik_irq_set(line, false);
    out(0x20, 0x20);
}

static void test_paused(lunik_irq *line)
{
    group->closed = true;
    lunik_irq_set(line, true);
    offer(true);
    check_uint("no vector while the gate is closed", kvm.vectors, 2);
    check_uint("  but INTR is seen", run.request_interrupt_window, 1);
    group->closed = false;
    lunik_irq_set(line, false);
    out(0x21, 0xff);
    check_true("masked: INTR falls", !lunik_intr(m));
    offer(true);
    check_uint("  and nothing is asked for", run.request_interrupt_window, 0);
    vcpu_set_extint(vcpu, 0x31);
    check_uint("what is loaded", vcpu->extint, 0x31);
    check_uint("  makes KVM's readiness void", run.ready_for_interrupt_injection, 0);
    offer(false);
    check_uint("  and is given", kvm.vector, 0x31);
    vcpu_set_extint(vcpu, NO_EXTINT);
    check_uint("what KVM has can't be withdrawn", vcpu->extint, 0x31);
    leave(true);
}

static void test_kernel(void)
{
    lunik_irqchip chip = {0};
    lunik_kvm_irqchip registers;

    check_int("a split one has none in KVM", lunik_kvm_irqchip_get(m, &registers, &err),
              LUNIK_E_UNSUPPORTED);

    vm.split = false;
    check_int("where KVM has all of them: no others", lunik_irqchip_add(m, &chip, &err),
              LUNIK_E_UNSUPPORTED);
    check_contains("  says why", err.message, "want irqchip = \"split\"");
    check_int("registers", lunik_kvm_irqchip_get(m, &registers, &err), 0);
    check_uint("  of both 8259As", registers.imr, 0x0201);
    check_uint("  their vectors", registers.base, 0x1008);
    check_uint("  of the I/O APIC", registers.redirection[23], UINT64_C(0x0700000000010039));
    offer(true);
    check_uint("  and no window", run.request_interrupt_window, 0);
    vm.split = true;
}

int main(void)
{
    const lunik_machine_config config = {
        .name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1, .irqchip = LUNIK_IRQCHIP_SPLIT};
    lunik_irq nine, five;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err) || kvm_clocks_init(&vm, &err) ||
        lunik_irq_connect(m, &nine, 9, &err) || lunik_irq_connect(m, &five, 5, &err)) {
        printf("not ok %s\n", err.message);
        return 1;
    }
    m->kvm = &vm;
    make_vcpu();
    add("isa-i8259");
    add("ioapic");
    test_creation(&nine);
    test_messages(&nine);
    test_external(&five);
    test_refused(&five);
    test_paused(&five);
    test_kernel();
    m->kvm = NULL;
    m->vcpus = NULL;
    kvm_clocks_fini(&vm);
    free(vm.power_on);
    free(group);
    lunik_machine_close(m);
    lunik_run_timeout(rt, 0);
    lunik_runtime_free(rt);
    return check_result();
}
