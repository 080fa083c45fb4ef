/*
 * test_msi_route.c: what is asked of KVM for messages, and who takes the signals of a route. KVM is
 * played by a function here: the linker sends the library's calls of ioctl() to it.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/kvm.h"
#include "check.h"

enum { KVM_FD = -77, GSI = LUNIK_GSI_COUNT };

static lunik_error err;

/* ---- KVM ------------------------------------------------------------------------------------ */

static struct {
    unsigned routings, irqfds, signals;
    struct kvm_irq_routing_entry msi[8];
    unsigned messages; /* in the table */
    struct kvm_irqfd irqfd;
    struct kvm_msi signal;
    bool refuse_routing, refuse_irqfd;
} kvm;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static int refuse(void)
{
    errno = EINVAL;
    return -1;
}

static int set_routing(const struct kvm_irq_routing *table)
{
    if (kvm.refuse_routing)
        return refuse();
    kvm.routings++;
    kvm.messages = 0;
    for (unsigned i = 0; i < table->nr; i++)
        if (table->entries[i].type == KVM_IRQ_ROUTING_MSI && kvm.messages < 8)
            kvm.msi[kvm.messages++] = table->entries[i];
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (fd != KVM_FD)
        return __real_ioctl(fd, request, argument);
    if (request == KVM_SET_GSI_ROUTING)
        return set_routing(argument);
    if (request == KVM_IRQFD) {
        if (kvm.refuse_irqfd)
            return refuse();
        kvm.irqfds++;
        kvm.irqfd = *(struct kvm_irqfd *)argument;
    }
    if (request == KVM_SIGNAL_MSI) {
        kvm.signals++;
        kvm.signal = *(struct kvm_msi *)argument;
    }
    return 0;
}

/* ---- a machine that takes it for its own ---------------------------------------------------- */

struct irqchip_state {
    int unused;
};

static struct irqchip_state created;
static struct kvm_vm vm = {.dev_fd = -1, .vm_fd = KVM_FD, .max_routes = GSI + 2};
static lunik_runtime *rt;
static lunik_machine *m;
static unsigned calls;

static void on_signal(void *opaque)
{
    calls++;
}

static void signal_route(const lunik_msi_route *r)
{
    check_int("signal", (int)write(lunik_msi_route_fd(r), &(uint64_t){1}, 8), 8);
    lunik_run_timeout(rt, 0);
}

static lunik_msi_route *new_route(void)
{
    lunik_msi_route *r = NULL;

    check_int("a route", lunik_msi_route_new(m, on_signal, NULL, &r, &err), 0);
    return r;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static const lunik_msi first = {.address = 0xfee01000, .data = 0x4021},
                       second = {.address = 0xfee02000, .data = 0x4022},
                       elsewhere = {.address = 0x1000, .data = 1};

static void test_send(lunik_object *o)
{
    lunik_msi_send(o, &elsewhere);
    check_uint("no message to memory", kvm.signals, 0);
    vm.power_on = NULL;
    lunik_msi_send(o, &first);
    check_uint("nor without interrupt controllers", kvm.signals, 0);
    vm.power_on = &created;
    lunik_msi_send(o, &first);
    check_uint("a message", kvm.signals, 1);
    check_uint("  its address", kvm.signal.address_lo, first.address);
    check_uint("  its data", kvm.signal.data, first.data);
}

static void test_open(void)
{
    lunik_msi_route *r = new_route();

    signal_route(r);
    check_uint("shut: the loop takes it", calls, 1);
    check_uint("  and KVM knows of nothing", kvm.routings + kvm.irqfds, 0);
    lunik_msi_route_set(r, &first);
    check_uint("open: a route", kvm.messages, 1);
    check_uint("  with the message", kvm.msi[0].u.msi.data, first.data);
    check_uint("  behind the lines", kvm.irqfd.gsi, GSI);
    check_int("  and its eventfd", (int)kvm.irqfd.fd, lunik_msi_route_fd(r));
    check_uint("  is assigned", kvm.irqfd.flags, 0);
    signal_route(r);
    check_uint("the loop leaves it to KVM", calls, 1);
    lunik_msi_route_set(r, &first);
    check_uint("the same again asks for nothing", kvm.routings, 1);
    lunik_msi_route_set(r, &second);
    check_uint("another message", kvm.msi[0].u.msi.address_lo, second.address);
    check_uint("  needs no other irqfd", kvm.irqfds, 1);
    lunik_msi_route_set(r, NULL);
    check_uint("shut: taken away", kvm.irqfd.flags, KVM_IRQFD_FLAG_DEASSIGN);
    lunik_run_timeout(rt, 0);
    check_uint("what KVM had not taken comes", calls, 2);
    lunik_msi_route_set(r, &elsewhere);
    check_uint("a message to memory opens nothing", kvm.irqfds, 2);
    lunik_msi_route_free(r);
}

static void test_many(void)
{
    lunik_msi_route *r[3] = {new_route(), new_route(), new_route()};

    for (unsigned i = 0; i < 3; i++)
        lunik_msi_route_set(r[i], &first);
    check_uint("as many as KVM has room for", kvm.messages, 2);
    calls = 0;
    signal_route(r[2]);
    check_uint("the loop takes the others", calls, 1);
    lunik_msi_route_free(r[0]);
    lunik_msi_route_set(r[2], &second);
    check_uint("until there is room", kvm.messages, 2);
    lunik_msi_route_free(r[1]);
    lunik_msi_route_free(r[2]);
}

static void test_refused(void)
{
    lunik_msi_route *r = new_route();

    calls = 0;
    kvm.refuse_routing = true;
    lunik_msi_route_set(r, &first);
    signal_route(r);
    check_uint("no table: the loop takes it", calls, 1);
    kvm.refuse_routing = false;
    kvm.refuse_irqfd = true;
    lunik_msi_route_set(r, &second);
    signal_route(r);
    check_uint("no irqfd: the loop takes it", calls, 2);
    kvm.refuse_irqfd = false;
    lunik_msi_route_set(r, &first);
    signal_route(r);
    check_uint("then KVM", calls, 2);
    kvm.refuse_routing = true;
    lunik_msi_route_set(r, &second);
    lunik_run_timeout(rt, 0);
    check_uint("a message that can't be changed goes by the loop", calls, 3);
    kvm.refuse_routing = false;
    lunik_msi_route_free(r);
}

/* A route that was opened before there are interrupt controllers. */
static void test_early(void)
{
    lunik_msi_route *r = new_route();
    unsigned before = kvm.irqfds;

    vm.power_on = NULL;
    lunik_msi_route_set(r, &first);
    check_uint("nothing yet", kvm.irqfds, before);
    vm.power_on = &created;
    msi_routes_open(m);
    check_uint("opened with them", kvm.irqfds, before + 1);
    lunik_msi_route_free(r);
}

int main(void)
{
    const lunik_machine_config config = {.name = "m", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_object *o = NULL;
    lunik_msi_route *last;

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err) ||
        lunik_device_add(m, "port92", NULL, 0, &o, &err)) {
        printf("not ok %s\n", err.message);
        return 1;
    }
    m->kvm = &vm;
    test_send(o);
    test_open();
    test_many();
    test_refused();
    test_early();
    last = new_route();
    lunik_msi_route_set(last, &first);
    lunik_msi_route_set(last, NULL);
    m->kvm = NULL;
    lunik_machine_close(m);
    lunik_msi_route_set(last, &first);
    lunik_msi_route_free(last);
    lunik_run_timeout(rt, 0);
    lunik_runtime_free(rt);
    return check_result();
}
