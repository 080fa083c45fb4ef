/* test_kvm_state.c: the state that KVM keeps for a guest: its tables, and with KVM a guest that
 * goes on from where it was saved. */
#include <stdlib.h>
#include <time.h>

#include "kvm/vcpu_state.h"
#include "object/state.h"
#include "kvm_rig.h"

enum { COUNT = 0x5000, FIRST = 1000 };

/* ---- the tables ----------------------------------------------------------------------------- */

static void randomize(void *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)at)[i] = (uint8_t)rand();
}

static void round_trip(const lunik_state_table *t, void *from, void *to)
{
    lunik_state_buffer first = {0}, second = {0};
    struct state_reader r;
    void *staged = NULL;

    check_int(t->name, state_check_table(t, "kvm", t->size, &err), 0);
    check_int("save", state_save(t, from, 0, &first, &err), 0);
    r = (struct state_reader){first.data, first.size, 0, &err};
    if (!check_int("load", state_stage(t, to, &r, &staged), 0))
        printf("# %s\n", err.message);
    else
        state_exchange(t, to, staged);
    state_discard(t, staged);
    check_int("save again", state_save(t, to, 0, &second, &err), 0);
    check_true("the same bytes",
               first.size == second.size && !memcmp(first.data, second.data, first.size));
    lunik_state_buffer_free(&first);
    lunik_state_buffer_free(&second);
}

/* Fields that can't be random: counts, and those that must be the same in both. */
static void bound(struct vcpu_state *v, struct vm_state *vm)
{
    v->has_xcrs = v->clocks.has_tsc = true;
    v->xcrs.nr_xcrs %= KVM_MAX_XCRS + 1;
    v->msr_count = v->nested_size = 0; /* these belong to a vCPU */
    v->tsc_khz = 2000000;
    v->extint %= NO_EXTINT + 1;
    vm->cpus = 1;
    memset(vm->present, 0, sizeof(vm->present));
    vm->split = false;
    for (unsigned i = 0; i < 3; i++)
        vm->clocks.pit.channels[i].count %= 65537;
}

static void test_tables(void)
{
    static struct vcpu_state from, to;
    static struct vm_state vm_from, vm_to;

    randomize(&from, sizeof(from));
    randomize(&to, sizeof(to));
    randomize(&vm_from, sizeof(vm_from));
    randomize(&vm_to, sizeof(vm_to));
    bound(&from, &vm_from);
    bound(&to, &vm_to);
    round_trip(&vcpu_state_table, &from, &to);
    round_trip(&vm_state_table, &vm_from, &vm_to);
    check_true("registers arrive", !memcmp(&from.regs, &to.regs, sizeof(from.regs)));
    check_true("interrupt controllers arrive", !memcmp(vm_from.pic, vm_to.pic, sizeof(vm_to.pic)));
}

/* Another frequency would let the guest's clocks go wrong. */
static void test_frequency(void)
{
    static struct vcpu_state s;
    lunik_state_buffer b = {0};
    struct state_reader r;
    void *staged = NULL;

    s.tsc_khz = 2000000;
    state_save(&vcpu_state_table, &s, 0, &b, &err);
    s.tsc_khz = 2001000;
    r = (struct state_reader){b.data, b.size, 0, &err};
    check_int("another frequency", state_stage(&vcpu_state_table, &s, &r, &staged),
              LUNIK_E_INVALID);
    check_string("  is named", err.message,
                 "vcpu: tsc_khz: 2000000 in the state, 2001000 on this host");
    state_discard(&vcpu_state_table, staged);
    lunik_state_buffer_free(&b);
}

static void test_without(void)
{
    lunik_state_buffer b = {0};

    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    check_int("no KVM", lunik_machine_save_kvm(m, &b, &err), LUNIK_E_UNSUPPORTED);
    check_int("no KVM", lunik_machine_load_kvm(m, "x", 1, &err), LUNIK_E_UNSUPPORTED);
    lunik_machine_close(m);
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
}

/* ---- a guest -------------------------------------------------------------------------------- */

static const uint8_t counter[] = {INC_EAX, STORE_EAX(COUNT), JMP(-8)};

static uint64_t reg(const char *name)
{
    uint64_t value = 0;

    check_int(name, lunik_vcpu_get_reg(lunik_vcpu_get(m, 0), name, &value, &err), 0);
    return value;
}

static void run_past(const lunik_region *ram, uint32_t count)
{
    check_int("start", lunik_machine_start(m, &err), 0);
    while (guest_word(ram, COUNT) < count)
        lunik_run_timeout(rt, 1);
    check_int("pause", lunik_machine_pause(m, &err), 0);
}

static void test_guest(void)
{
    lunik_state_buffer b = {0}, again = {0};
    lunik_region *ram;
    uint64_t rax, rip;

    new_runtime();
    new_machine(LUNIK_ACCEL_KVM);
    ram = add_to(m->memory_space, 0,
                 ram_region_of((lunik_region_config){
                     .kind = LUNIK_REGION_RAM, .name = "ram", .size = 0x10000}),
                 0);
    add_reset_vector();
    memcpy(ram->host + CODE, counter, sizeof(counter));
    check_int("created", lunik_machine_save_kvm(m, &b, &err), LUNIK_E_STATE);
    run_past(ram, FIRST);
    rax = reg("rax");
    rip = reg("rip");
    if (!check_int("save", lunik_machine_save_kvm(m, &b, &err), 0))
        printf("# %s\n", err.message);
    run_past(ram, (uint32_t)rax + FIRST);
    check_true("the guest has gone on", reg("rax") > rax);
    if (!check_int("load", lunik_machine_load_kvm(m, b.data, b.size, &err), 0))
        printf("# %s\n", err.message);
    check_uint("rax is as it was", reg("rax"), rax);
    check_uint("rip as well", reg("rip"), rip);
    check_int("save again", lunik_machine_save_kvm(m, &again, &err), 0);
    check_uint("as much", again.size, b.size);
    check_int("half of it", lunik_machine_load_kvm(m, b.data, b.size / 2, &err), LUNIK_E_INVALID);
    check_uint("changes nothing", reg("rax"), rax);
    memset(ram->host + COUNT, 0, 4);
    run_past(ram, (uint32_t)rax + 1);
    lunik_state_buffer_free(&b);
    lunik_state_buffer_free(&again);
    lunik_region_unref(ram);
    lunik_machine_close(m);
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);

    printf("# seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 20; i++)
        test_tables();
    test_frequency();
    test_without();
    if (check_kvm("a guest goes on from where it was saved"))
        test_guest();
    return check_result();
}
