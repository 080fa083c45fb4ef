/*
 * kvm_state.c: the state that KVM keeps for a machine, saved and loaded whole: a section for the
 * VM, then one for each vCPU that is plugged. The devices' states are loaded before this one: the
 * edges that their lines make meanwhile are then forgotten.
 */
#include <stdlib.h>

#include "core/misuse.h"
#include "kvm.h"
#include "object/state.h"
#include "vcpu_state.h"

static const struct state_format format = {"LUNIKKVM", 1, "a KVM"};

struct kvm_state {
    struct vm_state vm;
    struct vcpu_state vcpu[];
};

static int check_machine(const lunik_machine *m, lunik_error *err)
{
    if (!m->kvm)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "machine '%s' has no KVM", m->name);
    if (lunik_machine_state(m) != LUNIK_STATE_PAUSED)
        return lunik_fail(err, LUNIK_E_STATE, "machine '%s' is %s (want a machine that is paused)",
                          m->name, lunik_state_name(lunik_machine_state(m)));
    return 0;
}

/* All that KVM has now; to be freed. */
static int read_all(lunik_machine *m, struct kvm_state **out, lunik_error *err)
{
    struct kvm_state *s = calloc(1, sizeof(*s) + m->vcpus->count * sizeof(s->vcpu[0]));
    int rc;

    *out = s;
    if (!s)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "machine '%s': out of memory", m->name);
    rc = vm_state_read(m, &s->vm, err);
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));)
        rc = vcpu_state_read(v, &s->vcpu[v->index], err);
    return rc;
}

static int write_all(lunik_machine *m, const struct kvm_state *s, lunik_error *err)
{
    int rc = vm_state_write(m, &s->vm, err);

    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));)
        rc = vcpu_state_write(v, &s->vcpu[v->index], err);
    return rc;
}

/* ---- save ----------------------------------------------------------------------------------- */

static int save_all(lunik_machine *m, struct kvm_state *s, lunik_state_buffer *out,
                    lunik_error *err)
{
    int rc = state_put_format(out, &format, err);

    if (!rc)
        rc = state_save(&vm_state_table, &s->vm, 0, out, err);
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));)
        rc = state_save(&vcpu_state_table, &s->vcpu[v->index], 0, out, err);
    return rc;
}

int kvm_state_save(lunik_machine *m, lunik_state_buffer *out, lunik_error *err)
{
    struct kvm_state *s = NULL;
    size_t size = out->size;
    int rc = check_machine(m, err);

    if (!rc)
        rc = read_all(m, &s, err);
    if (!rc)
        rc = save_all(m, s, out, err);
    if (rc)
        out->size = size;
    free(s);
    return rc;
}

/* ---- load ----------------------------------------------------------------------------------- */

/* Replaces the fields of the struct by what the section has. */
static int load_one(const lunik_state_table *t, void *state, struct state_reader *r)
{
    void *staged;
    int rc = state_stage(t, state, r, &staged);

    if (!rc)
        state_exchange(t, state, staged);
    state_discard(t, staged);
    return rc;
}

static int load_all(lunik_machine *m, struct kvm_state *s, struct state_reader *r)
{
    int rc = state_get_format(r, &format);

    if (!rc)
        rc = load_one(&vm_state_table, &s->vm, r);
    for (lunik_vcpu *v = NULL; !rc && (v = vcpus_next(m->vcpus, v));)
        rc = load_one(&vcpu_state_table, &s->vcpu[v->index], r);
    return rc ? rc : state_get_end(r);
}

/* KVM may refuse what no table can know: then all is as it was before. */
static int apply(lunik_machine *m, const struct kvm_state *s, lunik_error *err)
{
    struct kvm_state *before = NULL;
    int rc = read_all(m, &before, err);

    if (!rc) {
        rc = write_all(m, s, err);
        if (rc)
            write_all(m, before, NULL);
    }
    free(before);
    return rc;
}

int kvm_state_load(lunik_machine *m, const void *data, size_t size, lunik_error *err)
{
    struct state_reader r = {data, size, 0, err};
    struct kvm_state *s = NULL;
    int rc = check_machine(m, err);

    if (!rc)
        rc = read_all(m, &s, err);
    if (!rc)
        rc = load_all(m, s, &r);
    if (!rc)
        rc = apply(m, s, err);
    free(s);
    return rc;
}
