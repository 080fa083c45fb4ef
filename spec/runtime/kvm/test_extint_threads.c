/*
 * test_extint_threads.c: external interrupts of the machine's own 8259As, with a vCPU's thread that
 * enters a KVM that is played here: a guest that halts between interrupts. Lines are raised on this
 * thread, by the vCPU's own accesses, and over pauses; no interrupt is lost, none comes twice.
 *
 * usage: test_extint_threads [SEED]
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "core/machine.h"
#include "kvm/kvm.h"
#include "kvm/kvm_io.h"
#include "kvm/vcpu_internal.h"
#include "check.h"
#include "random.h"

enum { KVM_FD = -77, VCPU_FD = -78, BASE = 0x20, LINE = 5, PIC = 0x20, EOI = 0x20 };
enum { RUN_SIZE = 8192, DATA = 4096 };

static lunik_error err;

/* ---- KVM and the guest ---------------------------------------------------------------------- */

static struct {
    _Alignas(struct kvm_run) uint8_t run[RUN_SIZE];
    int pending; /* vector that userspace has given, or -1 */
    bool busy;   /* in the handler, with interrupts off; an EOI ends it */
    bool masked; /* interrupts are off for a while */
    unsigned runs;
    _Atomic unsigned taken, strange;
} guest = {.pending = -1};

static struct kvm_run *const run = (struct kvm_run *)guest.run;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static bool interruptible(void)
{
    return !guest.busy && !guest.masked;
}

static bool ready(void)
{
    return interruptible() && guest.pending < 0;
}

/* The handler's only access is the EOI. */
static void handler(void)
{
    guest.busy = true;
    guest.strange += guest.pending != BASE + LINE;
    guest.pending = -1;
    guest.taken++;
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = run->io.count = 1;
    run->io.port = PIC;
    run->io.data_offset = DATA;
    guest.run[DATA] = EOI;
}

/* Returns whether it exits. */
static bool guest_step(void)
{
    if (guest.pending >= 0 && interruptible()) {
        handler();
        return true;
    }
    if (run->request_interrupt_window && ready()) {
        run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        return true;
    }
    return false;
}

static int play_run(void)
{
    const struct timespec moment = {.tv_nsec = 20000};
    int rc = 0;

    guest.busy = false; /* the access of the last exit is complete */
    guest.runs++;
    guest.masked = guest.runs % 4 == 0;
    for (;;) {
        if (__atomic_load_n(&run->immediate_exit, __ATOMIC_RELAXED)) {
            errno = EINTR;
            rc = -1;
            break;
        }
        if (guest_step())
            break;
        if (guest.masked)
            guest.masked = false;
        else
            nanosleep(&moment, NULL); /* halted; a kick ends it */
    }
    run->if_flag = interruptible();
    run->ready_for_interrupt_injection = ready();
    return rc;
}

static int give(const struct kvm_interrupt *arg)
{
    if (guest.pending >= 0) {
        errno = EEXIST;
        return -1;
    }
    guest.pending = (int)arg->irq;
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (fd != KVM_FD && fd != VCPU_FD)
        return __real_ioctl(fd, request, argument);
    if (request == KVM_RUN)
        return play_run();
    return request == KVM_INTERRUPT ? give(argument) : 0;
}

/* ---- a machine that takes it for its own ---------------------------------------------------- */

struct irqchip_state {
    int unused;
};

static struct irqchip_state created;
static struct kvm_io io;
static struct kvm_vm vm = {.dev_fd = -1,
                           .vm_fd = KVM_FD,
                           .split = true,
                           .power_on = &created,
                           .io = &io,
                           .max_routes = 64};
static struct vcpu_group *group;
static lunik_runtime *rt;
static lunik_machine *m;
static lunik_irq line;

static void make_vcpu(void)
{
    group = calloc(1, sizeof(*group) + sizeof(group->vcpu[0]));
    vcpu_gate_init(group);
    group->machine = m;
    group->count = 1;
    group->vcpu[0] = (lunik_vcpu){.machine = m, .fd = VCPU_FD, .run = run, .extint = NO_EXTINT};
    m->vcpus = group;
}

static void init_pic(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } words[] = {{0x20, 0x11}, {0x21, BASE}, {0x21, 4}, {0x21, 1}};

    for (unsigned i = 0; i < 4; i++)
        lunik_space_store(lunik_machine_io(m), words[i].port, 1, words[i].value);
}

/* Waits without the lock until the guest has taken so many. */
static bool wait_taken(unsigned count)
{
    const struct timespec moment = {.tv_nsec = 10000};
    time_t end = time(NULL) + 60;

    lunik_unlock(rt);
    while (guest.taken < count && time(NULL) < end)
        nanosleep(&moment, NULL);
    lunik_lock(rt);
    return guest.taken >= count;
}

static void pulse(void)
{
    lunik_irq_set(&line, true);
    lunik_irq_set(&line, false);
}

static void stop(void)
{
    vcpus_stop(m);
    vcpus_wait_stopped(m);
}

/* One interrupt, which may come just before a pause, or during it. */
static bool one(unsigned count)
{
    unsigned how = chance(8);

    if (how == 0)
        stop();
    pulse();
    if (how == 1)
        stop();
    if (how <= 1)
        vcpus_resume(m, &err);
    return wait_taken(count);
}

static void test_all(uint64_t seed)
{
    enum { COUNT = 3000 };
    unsigned count = 0;
    bool ok = true;

    printf("# seed %" PRIu64 "\n", seed);
    random_state = seed;
    check_int("start", vcpus_resume(m, &err), 0);
    while (ok && count < COUNT)
        ok = one(++count);
    check_uint("each interrupt is taken", guest.taken, count);
    check_true("  without a stall", ok);
    check_uint("  with its vector", guest.strange, 0);
    stop();
    check_uint("nothing is on its way", group->vcpu[0].extint, NO_EXTINT);
    check_true("INTR is low", !lunik_intr(m));
}

int main(int argc, char **argv)
{
    const lunik_machine_config config = {.name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1};

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err) || lunik_irq_connect(m, &line, LINE, &err) ||
        lunik_device_add(m, "isa-i8259", NULL, 0, NULL, &err)) {
        printf("not ok %s\n", err.message);
        return 1;
    }
    m->kvm = &vm;
    make_vcpu();
    init_pic();
    test_all(argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL));
    vcpus_quit(group);
    lunik_unlock(rt);
    pthread_join(group->vcpu[0].thread, NULL);
    lunik_lock(rt);
    m->kvm = NULL;
    m->vcpus = NULL;
    vcpu_gate_fini(group);
    free(group);
    lunik_machine_close(m);
    lunik_run_timeout(rt, 0);
    lunik_runtime_free(rt);
    return check_result();
}
