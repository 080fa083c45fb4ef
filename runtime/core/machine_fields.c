/* machine_fields.c: fields of a machine that every folder may read, and its reference count. */
#include <stdlib.h>

#include "machine.h"
#include "misuse.h"

const char *lunik_state_name(lunik_run_state state)
{
    switch (state) {
#define STATE_CASE(name, lua)                                                                      \
    case LUNIK_STATE_##name:                                                                       \
        return lua;
        LUNIK_STATE_MAP(STATE_CASE)
#undef STATE_CASE
    }
    return "unknown";
}

const char *lunik_machine_name(const lunik_machine *m)
{
    NOT_NULL(m, "");

    return m->name;
}

lunik_runtime *lunik_machine_runtime(const lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return m->rt;
}

lunik_accel lunik_machine_accel(const lunik_machine *m)
{
    NOT_NULL(m, LUNIK_ACCEL_NONE);

    return m->config.accel;
}

lunik_run_state lunik_machine_state(const lunik_machine *m)
{
    NOT_NULL(m, LUNIK_STATE_CLOSED);

    return (lunik_run_state)atomic_load_explicit(&m->state, memory_order_relaxed);
}

const lunik_machine_config *lunik_machine_config_get(const lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return &m->config;
}

bool lunik_machine_waking(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return atomic_load_explicit(&m->waking, memory_order_relaxed);
}

bool lunik_machine_asleep(const lunik_machine *m)
{
    NOT_NULL(m, false);

    return m->asleep;
}

int lunik_machine_exit_code(const lunik_machine *m)
{
    NOT_NULL(m, 0);

    return m->exit_code;
}

lunik_space *lunik_machine_memory(lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return m->memory_space;
}

lunik_space *lunik_machine_io(lunik_machine *m)
{
    NOT_NULL(m, NULL);

    return m->io_space;
}

int machine_fail_closed(const lunik_machine *m, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", m->name);
}

void lunik_machine_ref(lunik_machine *m)
{
    NOT_NULL(m);

    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void lunik_machine_unref(lunik_machine *m)
{
    NOT_NULL(m);

    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    clock_free(m);
    config_free(&m->config);
    turn_destroy(&m->turn);
    drains_destroy(m);
    free(m);
}
