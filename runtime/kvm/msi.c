/*
 * msi.c: message-signalled interrupts: writes to the addresses of the local APICs.
 *
 * KVM takes a message as it is, so no route is needed for one that this process sends.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "core/machine.h"
#include "core/misuse.h"
#include "core/trace.h"

enum { APIC_FIRST = 0xfee00000u, APIC_LAST = 0xfeefffffu };

bool msi_is_interrupt(const lunik_msi *msg)
{
    return msg->address >= APIC_FIRST && msg->address <= APIC_LAST;
}

/* A message that names no CPU is lost, as on a PC; that is no failure. */
static void signal_irqchip(const lunik_machine *m, const lunik_msi *msg)
{
    struct kvm_msi arg = {.address_lo = (uint32_t)msg->address, .data = msg->data};

    ioctl(m->kvm->vm_fd, KVM_SIGNAL_MSI, &arg);
}

static const char *name_of(const lunik_object *o)
{
    const char *id = lunik_object_id(o);

    return *id ? id : lunik_object_path(o);
}

static void trace_message(lunik_machine *m, lunik_object *source, const lunik_msi *msg)
{
    const lunik_field fields[] = {LUNIK_FIELD_UINT("address", msg->address),
                                  LUNIK_FIELD_UINT("data", msg->data)};

    trace_step(m, &(const lunik_step){.kind = "msi",
                                      .device = name_of(source),
                                      .driver = lunik_object_type_name(source),
                                      .fields = fields,
                                      .count = 2,
                                      .common = !trace_in_step(m)});
}

static void announce(lunik_machine *m, lunik_object *source, const lunik_msi *msg)
{
    lunik_emit(m, "msi", LUNIK_FIELD_STRING("device", name_of(source)),
               LUNIK_FIELD_UINT("address", msg->address), LUNIK_FIELD_UINT("data", msg->data));
}

void lunik_msi_send(lunik_object *source, const lunik_msi *msg)
{
    NOT_NULL(source);
    NOT_NULL(msg);

    lunik_machine *m = lunik_object_machine(source);

    if (!m->gsi || !msi_is_interrupt(msg))
        return;
    m->messages++;
    if (m->kvm && m->kvm->power_on)
        signal_irqchip(m, msg);
    if (trace_on(m))
        trace_message(m, source, msg);
    if (!m->kvm)
        announce(m, source, msg);
    if (sub_list_any(&m->msi_subs))
        msi_report(m, source, msg);
}

uint64_t lunik_msi_count(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->gsi ? m->messages : 0;
}
