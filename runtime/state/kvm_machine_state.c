/* kvm_machine_state.c: the state that KVM keeps for a machine, saved and loaded in a turn. */
#include "core/changes.h"
#include "core/misuse.h"
#include "kvm/kvm.h"

static int begin(lunik_machine *m, lunik_error *err)
{
    int rc = turn_take(m, err);

    if (rc)
        return rc;
    if (lunik_in_transaction(m) || lunik_in_listener(m)) {
        rc = lunik_fail(err, LUNIK_E_STATE, "machine '%s' has a transaction open", m->name);
        turn_end(m);
    }
    return rc;
}

int lunik_machine_save_kvm(lunik_machine *m, lunik_state_buffer *out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    NOT_NULL_OR_FAIL(out, err);

    int rc = begin(m, err);

    if (!rc) {
        rc = kvm_state_save(m, out, err);
        turn_end(m);
    }
    return rc ? lunik_fail_prefix(err, rc, "the state of KVM can't be saved") : 0;
}

int lunik_machine_load_kvm(lunik_machine *m, const void *data, size_t size, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    REQUIRE_OR_FAIL(lunik_locked(m->rt), UNLOCKED, err);
    REQUIRE_OR_FAIL(data || !size, "data is NULL", err);

    int rc = begin(m, err);

    if (!rc) {
        rc = kvm_state_load(m, data, size, err);
        turn_end(m);
    }
    return rc ? lunik_fail_prefix(err, rc, "the state of KVM can't be loaded") : 0;
}
