/*
 * test_kvm_repair.c: changes that a later listener refuses and that KVM then does not take back, or
 * for which memory lacks. KVM is played by a function here: the linker sends the library's calls of
 * ioctl() to it, and those of realloc().
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "kvm/kvm.h"
#include "machine_rig.h"

enum { KVM_FD = -77, PAGE = 0x1000, CARDS = 100, AT = 0x100000 };

/* ---- KVM ------------------------------------------------------------------------------------ */

static unsigned slots;
static bool keep_slots; /* deletions are refused */
static bool no_memory;  /* for arrays that grow */

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    const struct kvm_userspace_memory_region *region = argument;

    if (fd != KVM_FD)
        return __real_ioctl(fd, request, argument);
    if (request != KVM_SET_USER_MEMORY_REGION)
        return 0;
    if (!region->memory_size && keep_slots) {
        errno = ENOMEM;
        return -1;
    }
    slots += region->memory_size ? 1 : -1u;
    return 0;
}

void *__wrap_realloc(void *p, size_t size)
{
    return no_memory ? NULL : __real_realloc(p, size);
}

/* ---- a machine ------------------------------------------------------------------------------ */

static struct kvm_vm vm = {
    .dev_fd = -1, .vm_fd = KVM_FD, .max_slots = 509, .phys_bits = 46, .readonly_mem = true};

static void flush(lunik_machine *of)
{
}

static const struct memory_hooks hooks = {.flush = flush, .repair = kvm_memory_repair};

static lunik_region *cards[CARDS];
static lunik_ram *block;

static void new_kvm_machine(void)
{
    new_machine(LUNIK_ACCEL_NONE);
    m->kvm = &vm;
    m->memory->hooks = &hooks;
    must("memory", kvm_memory_init(m, &err));
    block = new_ram("block", CARDS * PAGE);
}

static void close_machine(void)
{
    kvm_memory_fini(m);
    m->memory->hooks = NULL;
    m->kvm = NULL;
    lunik_machine_close(m);
    check_uint("  nothing uses the memory then", block->refs, 1);
    lunik_ram_unref(block);
}

static lunik_region *new_card(unsigned i)
{
    return region_of((lunik_region_config){.kind = LUNIK_REGION_RAM,
                                           .name = "card",
                                           .ram = block,
                                           .ram_offset = (uint64_t)i * PAGE,
                                           .size = PAGE});
}

/* Every other page, so that each card is a slot. */
static uint64_t place(unsigned i)
{
    return AT + 2ull * i * PAGE;
}

/* ---- a listener that refuses ---------------------------------------------------------------- */

static enum { AGREE, REFUSE, REFUSE_AND_KEEP, REFUSE_WITHOUT_MEMORY } mood;

static int on_commit(lunik_listener *l, lunik_error *e)
{
    if (mood == AGREE)
        return 0;
    keep_slots = mood == REFUSE_AND_KEEP;
    no_memory = mood == REFUSE_WITHOUT_MEMORY;
    mood = AGREE; /* it is asked again after the reverse changes */
    return lunik_fail(e, LUNIK_E_STATE, "refused");
}

/* Before KVM's or after. */
static lunik_listener listener = {.name = "refusing", .commit = on_commit};

static void add_listener(int priority)
{
    listener.priority = priority;
    must("listener", lunik_listener_add(m, &listener, &err));
}

/* ---- tests ---------------------------------------------------------------------------------- */

static unsigned errors;

static void on_event(void *opaque, const lunik_event *event)
{
    errors += !strcmp(event->name, "error");
}

/* The change is refused, KVM keeps its slot, and the region is gone when KVM is asked again. */
static void test_gone(void)
{
    lunik_event_sub events = {.fn = on_event};
    lunik_region *card;

    new_kvm_machine();
    lunik_event_subscribe(m, &events);
    add_listener(20);
    card = new_card(0);
    mood = REFUSE_AND_KEEP;
    check_int("gone: refused",
              lunik_region_add(lunik_space_root(m->memory_space), AT, card, 0, true, &err),
              LUNIK_E_STATE);
    lunik_deliver_events(rt);
    check_uint("  KVM has the slot", slots, 1);
    check_uint("  which is reported", errors, 1);
    lunik_region_unref(card);
    check_true("  the region is gone", rcu_wait(10000));
    check_true("  KVM still refuses", kvm_memory_repair(m, &err) != 0);
    check_contains("  the error names the memory", err.message,
                   "KVM: memory region 'block' can't be unmapped at 0x100000-0x100fff");
    keep_slots = false;
    check_int("  then it agrees", kvm_memory_repair(m, &err), 0);
    check_uint("  and has no slot", slots, 0);
    lunik_listener_del(&listener);
    close_machine();
}

static int remove_cards(void)
{
    lunik_transaction_begin(m);
    for (unsigned i = 0; i < CARDS; i++)
        lunik_region_del(cards[i], &err);
    return lunik_transaction_commit(m, &err);
}

/* Memory lacks from the refusal on: what has gone comes back in KVM as well. */
static void test_room(const char *name, int priority)
{
    new_kvm_machine();
    for (unsigned i = 0; i < CARDS; i++)
        cards[i] = add_to(m->memory_space, place(i), new_card(i), 0);
    add_listener(priority);
    mood = REFUSE_WITHOUT_MEMORY;
    check_int(name, remove_cards(), LUNIK_E_STATE);
    no_memory = false;
    check_uint("  all slots are there", slots, CARDS);
    check_int("  and nothing is left to do", kvm_memory_repair(m, &err), 0);
    check_uint("  which changes none", slots, CARDS);
    check_int("  then they go", remove_cards(), 0);
    check_uint("  all of them", slots, 0);
    for (unsigned i = 0; i < CARDS; i++)
        lunik_region_unref(cards[i]);
    lunik_listener_del(&listener);
    close_machine();
}

int main(void)
{
    new_runtime();
    test_gone();
    test_room("no memory after KVM has agreed", 20);
    test_room("no memory before KVM is asked", 0);
    lunik_runtime_free(rt);
    return check_result();
}
