/*
 * irq.c: GSI lines.
 *
 * A line is the OR of its sources, so level-triggered lines can be shared: it counts the sources
 * that are high and sets the pins of the interrupt controllers, KVM's or those of irqchip.c, when
 * the count leaves or reaches zero.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "core/misuse.h"
#include "core/machine.h"
#include "core/trace.h"

struct gsi_line {
    unsigned high; /* sources that are high */
    uint64_t edges;
};

struct gsi_lines {
    struct gsi_line line[LUNIK_GSI_COUNT];
    uint16_t elcr;
};

/* The ioctl fails only for lines that the irqchip lacks, which lunik_irq_connect() refuses. */
static void set_irqchip_line(lunik_machine *m, unsigned gsi, bool level)
{
    struct kvm_irq_level arg = {.irq = gsi, .level = level};

    ioctl(m->kvm->vm_fd, KVM_IRQ_LINE, &arg);
}

void lunik_machine_set_elcr(lunik_machine *m, uint16_t level_triggered)
{
    NOT_NULL(m);

    if (!m->gsi)
        return;
    m->gsi->elcr = level_triggered;
    irqchips_elcr(m, level_triggered);
}

uint16_t lunik_machine_elcr(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->gsi ? m->gsi->elcr : 0;
}

static void set_controllers(lunik_machine *m, unsigned gsi, bool level)
{
    if (m->kvm && m->kvm->power_on && !m->kvm->split)
        set_irqchip_line(m, gsi, level);
    irqchips_line(m, gsi, level);
}

void gsi_show_high(lunik_machine *m)
{
    for (unsigned gsi = 0; gsi < LUNIK_GSI_COUNT; gsi++)
        if (lunik_gsi_level(m, gsi))
            set_controllers(m, gsi, true);
}

/* Lines that change for other reasons than a step are those of UARTs and timers: very many. */
static void trace_line(lunik_machine *m, unsigned gsi, bool level)
{
    const lunik_field fields[] = {LUNIK_FIELD_UINT("gsi", gsi), LUNIK_FIELD_BOOL("level", level)};

    trace_step(m, &(const lunik_step){
                      .kind = "gsi", .fields = fields, .count = 2, .common = !trace_in_step(m)});
}

static void line_changed(lunik_machine *m, unsigned gsi, bool level)
{
    struct gsi_lines *g = m->gsi;

    if (level)
        g->line[gsi].edges++;
    set_controllers(m, gsi, level);
    if (trace_on(m))
        trace_line(m, gsi, level);
    if (sub_list_any(&m->gsi_subs))
        gsi_report(m, gsi, level);
}

static void source_changed(lunik_irq *irq, bool level)
{
    lunik_machine *m = irq->opaque;
    struct gsi_line *line = m->gsi ? &m->gsi->line[irq->line] : NULL;

    if (!line)
        return; /* the machine is closed */
    if (level) {
        if (line->high++ == 0)
            line_changed(m, irq->line, true);
    } else {
        if (--line->high == 0)
            line_changed(m, irq->line, false);
    }
}

int lunik_irq_connect(lunik_machine *m, lunik_irq *irq, unsigned gsi, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(irq, err);

    if (!m->gsi)
        return machine_fail_closed(m, err);
    if (gsi >= LUNIK_GSI_COUNT)
        return lunik_fail(err, LUNIK_E_INVALID, "irq: GSI %u does not exist (want 0..%d)", gsi,
                          LUNIK_GSI_COUNT - 1);
    *irq = (lunik_irq){.fn = source_changed, .opaque = m, .line = gsi};
    return 0;
}

void lunik_irq_disconnect(lunik_irq *irq)
{
    NOT_NULL(irq);

    lunik_irq_set(irq, false);
    irq->fn = NULL;
}

bool lunik_gsi_level(const lunik_machine *m, unsigned gsi)
{
    NOT_NULL(m, false);

    return m->gsi && gsi < LUNIK_GSI_COUNT && m->gsi->line[gsi].high > 0;
}

uint64_t lunik_gsi_edges(const lunik_machine *m, unsigned gsi)
{
    NOT_NULL(m, 0);

    return m->gsi && gsi < LUNIK_GSI_COUNT ? m->gsi->line[gsi].edges : 0;
}

int gsi_init(lunik_machine *m, lunik_error *err)
{
    m->gsi = calloc(1, sizeof(*m->gsi));
    if (!m->gsi)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    return 0;
}

void gsi_fini(lunik_machine *m)
{
    free(m->gsi);
    m->gsi = NULL;
}
